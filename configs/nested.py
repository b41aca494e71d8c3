"""Can you trust the variance components of MixedLM, from few groups to many, from zero to large?

MixedLM by its formula, by design matrices, with a tight gradient, and with the gradient's sign
mended, beside the exact engine (`reml`, `ml`) on the same data. Balanced and normal, then with rows
and cells missing, then with skewed effects.

As it stands it takes about three quarters of an hour on two cores; nearly all of that is MixedLM.
To begin with, and to let it grow later (what is stored is never computed again):

    mcstudy run configs/nested.py --replicates 10
    mcstudy run configs/nested.py --replicates 200
    mcstudy run configs/nested.py --replicates 10000 --methods reml,ml

`nested_large.py` has designs of many groups, `nested_engine.py` 100,000 replicates of the engine.
What they found stands in docs/mixedlm.md, their tables in results/published.
"""

from mcstudy import Study, grid, nested

few_groups = grid(n_group1=[5, 8], n_group2=[4], n_rep=[3])
many_groups = grid(n_group1=[20, 50], n_group2=[5], n_rep=[5])
effects = grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[0.5, 3.0], unexplained_sd=[4.0])
normal = grid(dropped_rows=[0.0], dropped_cells=[0.0], group1_shape=["normal"])
unbalanced = grid(dropped_rows=[0.2], dropped_cells=[0.1], group1_shape=["normal"])
skewed = grid(dropped_rows=[0.0], dropped_cells=[0.0], group1_shape=["chi_square(2)"])
usual = grid(n_group1=[20], n_group2=[5], n_rep=[5])
some_effects = grid(group1_sd=[0.0, 0.5, 2.0], group2_sd=[3.0], unexplained_sd=[4.0])

study = Study(
    name="nested",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={
        "formula": nested.formula,
        "matrices": nested.matrices,
        "matrices_tight": nested.matrices_tight,
        "matrices_signed": nested.matrices_signed,
        "reml": nested.reml,
        "ml": nested.ml,
    },
    conditions=(few_groups + many_groups) * effects * normal
    + usual * some_effects * (unbalanced + skewed),
    replicates=60,
    seed=20261127,
    reference="reml",
    labels={
        "n_group1": "groups",
        "n_group2": "cells a group",
        "n_rep": "rows a cell",
        "group1_sd": "SD of group 1",
        "group2_sd": "SD of group 2",
    },
)
