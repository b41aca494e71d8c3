"""Do MixedLM's variance components get better with many groups?

100 and 200 groups: a fit by MixedLM takes seconds, so there are few replicates; about five minutes
on two cores. `nested.py` has the smaller designs.
"""

from mcstudy import Study, grid, nested

sizes = grid(n_group1=[100], n_group2=[10], n_rep=[5])
sizes += grid(n_group1=[200], n_group2=[20], n_rep=[10])

study = Study(
    name="nested_large",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={"matrices": nested.matrices, "reml": nested.reml},
    conditions=sizes * grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[3.0], unexplained_sd=[4.0]),
    replicates=20,
    seed=20261127,
    reference="reml",
)
