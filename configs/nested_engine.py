"""How good are the intervals of the exact engine, where only it is fast enough to say?

100,000 replicates of each design of `nested.py` and of larger ones: a coverage is known to .0007.
Sums are kept, not rows. About a quarter of an hour on two cores.
"""

from mcstudy import Study, grid, nested

sizes = grid(n_group1=[5, 8], n_group2=[4], n_rep=[3])
sizes += grid(n_group1=[20, 50], n_group2=[5], n_rep=[5])
sizes += grid(n_group1=[200], n_group2=[20], n_rep=[10])
effects = grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[0.5, 3.0], unexplained_sd=[4.0])
usual = grid(n_group1=[20], n_group2=[5], n_rep=[5])
some_effects = grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[3.0], unexplained_sd=[4.0])
normal = grid(dropped_rows=[0.0], dropped_cells=[0.0], group1_shape=["normal"])
unbalanced = grid(dropped_rows=[0.2], dropped_cells=[0.1], group1_shape=["normal"])
skewed = grid(dropped_rows=[0.0], dropped_cells=[0.0], group1_shape=["chi_square(2)"])

study = Study(
    name="nested_engine",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={
        "reml": nested.reml.with_intervals("exact", "wald", "log", "satterthwaite", "mls"),
        "ml": nested.ml.with_intervals("wald", "log"),
    },
    conditions=sizes * effects * normal + usual * some_effects * (unbalanced + skewed),
    replicates=100_000,
    seed=20261127,
    keep="measures",
)
