"""A study of one condition whose fit costs next to nothing, for a great many replicates."""

from overhead_study import normal_sample, t_interval

from mcstudy import Study, grid

study = Study(
    name="memory",
    simulate=normal_sample,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"t": t_interval},
    conditions=grid(n=[20], mean=[1.0]),
    replicates=1_000_000,
    seed=1,
)
