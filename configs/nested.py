"""Variance components of two-level nested data: from few groups to many, from zero to large.

Start small and let it grow; what is stored is never computed again:

    mcstudy run configs/nested.py --replicates 20 --methods matrices
    mcstudy run configs/nested.py --replicates 1000

Every design is crossed with variances at zero, near it and far from it. The two methods state the
same model in two ways and agree bit for bit.
"""

from mcstudy import Study, grid, nested

sizes = (
    grid(n_group1=[8, 20], n_group2=[3, 5], n_rep=[3, 5])
    + grid(n_group1=[50], n_group2=[5], n_rep=[5])
    + grid(n_group1=[100], n_group2=[10], n_rep=[5])
)
deviations = grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[0.0, 0.5, 3.0], unexplained_sd=[4.0])

study = Study(
    name="nested",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={"formula": nested.formula, "matrices": nested.matrices},
    conditions=sizes * deviations,
    replicates=200,
    seed=20261123,
)
