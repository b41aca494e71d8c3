"""The exact engine against drawing the data, MixedLM and lme4's refit: ratios, one thread.

"draw" is drawing the normals of a data set and nothing else; "balanced" is simulating, fitting by
REML and computing the default intervals, from the same generators; "dropped" the same, with rows
dropped at random, which are drawn too.
lme4 is left out where Rscript or lme4 is not installed. All kinds are interleaved in rounds; what
is printed are medians, of the times and of each round's ratios.
Run: python benchmarks/engine.py [rounds]
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from mcstudy import nested
from mcstudy.nested import NestedBatch

SDS = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
DESIGNS = {"200x20x10": (200, 20, 10), "20x5x5": (20, 5, 5)}
BATCH = {"200x20x10": 52, "20x5x5": 1000}
BATCHES = {"200x20x10": 2, "20x5x5": 4}
DROPPED = 0.3

generate_batch: Callable[..., NestedBatch] = getattr(nested.generate_nested, "batch")  # noqa: B009

REFIT = """
suppressMessages(library(lme4))
folder <- commandArgs(TRUE)[1]; times <- as.integer(commandArgs(TRUE)[2])
frame <- read.csv(file.path(folder, "data.csv"))
fit <- lmer(y ~ 1 + (1 | group1/group2), frame)
seconds <- sapply(seq_len(times), function(i) {
  drawn <- simulate(fit)[[1]]
  system.time(refit(fit, drawn))[["elapsed"]]
})
cat(median(seconds))
"""


def seconds(action: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Timings:
    """What is timed of one design; every method returns seconds per data set."""

    def __init__(self, name: str) -> None:
        a, b, r = DESIGNS[name]
        self.sizes = {"n_group1": a, "n_group2": b, "n_rep": r}
        self.generators = [np.random.default_rng(i) for i in range(BATCH[name])]
        self.batches = BATCHES[name]
        self.normals = np.empty(a + a * b + a * b * r)
        self.one = nested.generate_nested(np.random.default_rng(2), **self.sizes, **SDS)

    def draw(self) -> float:
        """Draw the normals of each data set."""
        return self._per_data_set(
            lambda: [rng.standard_normal(out=self.normals) for rng in self.generators]
        )

    def balanced(self) -> float:
        """Simulate, fit, compute the default intervals."""
        return self._per_data_set(lambda: nested.reml.batch(self._batch(), self.generators))

    def dropped(self) -> float:
        """Simulate, drop rows at random, fit, compute the default intervals."""
        return self._per_data_set(
            lambda: nested.reml.batch(self._batch(dropped_rows=DROPPED), self.generators)
        )

    def profile(self) -> float:
        """Simulate, fit, compute profile intervals."""
        method = nested.reml.with_intervals("profile")
        return self._per_data_set(lambda: method.batch(self._batch(), self.generators))

    def bootstrap(self) -> float:
        """Fit with a bootstrap of 999."""
        method = nested.reml.with_intervals("bootstrap")
        some = self.generators[:20]
        batch = generate_batch(some, **self.sizes, **SDS)
        return seconds(lambda: method.batch(batch, some)) / len(some)

    def formula(self) -> float:
        """Fit by MixedLM's formula."""
        return seconds(lambda: nested.formula(self.one))

    def _batch(self, **more: float) -> NestedBatch:
        factors = {**self.sizes, **SDS, **more}
        batch: NestedBatch = generate_batch(self.generators, **factors)
        return batch

    def _per_data_set(self, work: Callable[[], object]) -> float:
        return seconds(lambda: [work() for _ in range(self.batches)]) / (
            self.batches * len(self.generators)
        )


def refit_seconds(timings: Timings, times: int) -> float | None:
    """Return the median time of lme4's refit, or None where it is not installed."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        timings.one.frame.to_csv(Path(folder) / "data.csv", index=False)
        done = subprocess.run(
            [rscript, "-e", REFIT, folder, str(times)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    return float(done.stdout) if done.returncode == 0 else None


def main() -> None:
    """Interleave, then print ratios."""
    warnings.simplefilter("ignore")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    kinds = ("draw", "balanced", "dropped", "profile", "formula", "refit")
    for name in DESIGNS:
        timings = Timings(name)
        results: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind in kinds[:-1]:
                results[kind].append(getattr(timings, kind)())
            refit = refit_seconds(timings, 3)
            if refit is not None:
                results["refit"].append(refit)
        report(name, results)
        if name == "20x5x5":
            each = statistics.median(timings.bootstrap() for _ in range(3))
            print(f"  bootstrap of 999             {1e3 * each:10.2f} ms")


def report(name: str, results: dict[str, list[float]]) -> None:
    """Print a design's medians, and ratios to the draw and to the balanced fit."""
    print(f"{name}: microseconds, over the draw, over the balanced fit")
    for kind, times in results.items():
        if not times:
            print(f"  {kind:<12} not installed")
            continue
        over = [
            statistics.median(a / b for a, b in zip(times, results[base], strict=True))
            for base in ("draw", "balanced")
        ]
        print(f"  {kind:<12}{1e6 * statistics.median(times):14.1f}{over[0]:12.2f}{over[1]:12.2f}")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
