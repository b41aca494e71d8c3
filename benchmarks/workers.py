"""How much faster two workers are than one on the statsmodels paths.

Both run two conditions of configs/nested.py from nothing, in turn; the time is the wall time of
the run itself, pool start (about 3 s) and tables included, so it wants minutes of work. Takes about
a quarter of an hour. Run: python benchmarks/workers.py
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from mcstudy import Study, grid, load_study, run

STUDY = Path(__file__).parents[1] / "configs" / "nested.py"
ROUNDS = 3
CONDITIONS = grid(n_group1=[20], n_group2=[5], n_rep=[5]) * grid(
    group1_sd=[0.5, 2.0], group2_sd=[3.0], unexplained_sd=[4.0]
)


def seconds(study: Study, workers: int) -> float:
    """Run the study from nothing with that many workers."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run(study, folder, jobs=workers, quiet=True)
        return time.perf_counter() - begun


def main() -> None:
    """Interleave one worker and two; print the ratios."""
    study = dataclasses.replace(load_study(STUDY), conditions=CONDITIONS, replicates=300)
    rounds = [(seconds(study, 1), seconds(study, 2)) for _ in range(ROUNDS)]
    for one, two in rounds:
        print(f"one worker {one:6.1f} s   two workers {two:6.1f} s   ratio {one / two:.2f}")
    print(f"median ratio {statistics.median(one / two for one, two in rounds):.2f}")


if __name__ == "__main__":
    main()
