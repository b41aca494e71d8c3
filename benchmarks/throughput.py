"""Fits of 10 ms, 100 ms and 1 s with 1 and 2 workers, against a bare joblib loop of the same fits.

Each fit uses so much CPU of its own, so that the ratio is overhead, not chance. Both
start their processes anew; mcstudy also stores and tabulates. Takes about five minutes. Run:
python benchmarks/throughput.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = Path(__file__).with_name("throughput_study.py")
ROUNDS = 3
FITS = {0.01: 1000, 0.1: 100, 1.0: 10}

BARE = f"""
import sys; sys.path.insert(0, {str(STUDY.parent)!r})
import numpy as np
from joblib import Parallel, delayed
from throughput_study import busy_mean, normal_sample

def fit(replicate):
    return busy_mean(normal_sample(np.random.default_rng([1, replicate]), n=1000))

Parallel(n_jobs=int(sys.argv[1]), batch_size=1)(delayed(fit)(i) for i in range(int(sys.argv[2])))
"""


def wall(seconds: float, *command: str) -> float:
    """Run a command whose fits cost so many seconds; return the wall time."""
    begun = time.perf_counter()
    environment = {**os.environ, "FIT_SECONDS": str(seconds), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begun


def study_wall(seconds: float, workers: int, fits: int) -> float:
    """Run the study from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return wall(
            seconds,
            *(sys.executable, "-m", "mcstudy", "run", str(STUDY), "--results", folder),
            *("--jobs", str(workers), "--replicates", str(fits)),
        )


def main() -> None:
    """Interleave mcstudy and joblib; print medians, and throughputs of mcstudy over joblib."""
    print("a fit   workers   fits    joblib   mcstudy   whole   start-up taken off")
    for seconds, count in FITS.items():
        for workers in (1, 2):
            fits = count * workers
            rounds = []
            for _ in range(ROUNDS):
                commands = [
                    (sys.executable, "-c", BARE, str(workers), str(n)) for n in (fits, workers)
                ]
                bare, bare_start = (wall(seconds, *command) for command in commands)
                ours, start = (study_wall(seconds, workers, n) for n in (fits, workers))
                rounds.append((bare, ours, bare / ours, (bare - bare_start) / (ours - start)))
            bare, ours, ratio, steady = (
                statistics.median(column) for column in zip(*rounds, strict=True)
            )
            print(
                f"{seconds:4.2f} s {workers:6} {fits:9} {bare:7.1f} s {ours:7.1f} s"
                f"   {ratio:5.2f}   {steady:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
