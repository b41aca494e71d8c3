"""CPU per replicate of a trivial study: mcstudy, everything included, against a bare loop.

Both simulate 4 x 10,000 samples of 20 normals, each from a stream of its own, and compute mean and
t interval. mcstudy also catches, stores, tabulates and measures. A start takes at least the imports
of the libraries that tables and measures rest on. Run: python benchmarks/overhead.py
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

STUDY = Path(__file__).with_name("overhead_study.py")
REPLICATES = 40_000
ROUNDS = 5

BARE = f"""
import sys; sys.path.insert(0, {str(STUDY.parent)!r})
import numpy as np
from overhead_study import normal_sample, t_interval
rows = []
for condition in range(4):
    for replicate in range(10_000):
        sequence = np.random.SeedSequence([1, condition], spawn_key=(replicate,))
        rng = np.random.default_rng(sequence)
        estimate = t_interval(normal_sample(rng, n=20, mean=float(condition)))["mean"]
        rows.append((estimate.value, estimate.std_error, estimate.lower, estimate.upper))
"""
LIBRARIES = "import joblib, numpy, pandas, pyarrow.compute, pyarrow.parquet, scipy.special"


def cpu_seconds(*command: str) -> float:
    """Run a command, without a report; return the CPU seconds of it and all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = os.environ | {"MCSTUDY_REPORT": "off"}
    subprocess.run(command, check=True, capture_output=True, env=variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def study_seconds(replicates: int) -> float:
    """Run the study from nothing, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        return cpu_seconds(
            *(sys.executable, "-m", "mcstudy", "run", str(STUDY), "--results", folder),
            *("--jobs", "1", "--replicates", str(replicates)),
        )


def main() -> None:
    """Interleave the two; print medians."""
    bare_start = "import sys; sys.path.insert(0, sys.argv[1]); import overhead_study"
    rounds = [
        (
            cpu_seconds(sys.executable, "-c", BARE)
            - cpu_seconds(sys.executable, "-c", bare_start, str(STUDY.parent)),
            study_seconds(REPLICATES // 4),
            study_seconds(1),
            cpu_seconds(sys.executable, "-c", LIBRARIES),
        )
        for _ in range(ROUNDS)
    ]
    bare, whole, start, libraries = (
        1e6 * statistics.median(column) / REPLICATES for column in zip(*rounds, strict=True)
    )
    ratio = statistics.median((full - begun) / loop for loop, full, begun, _ in rounds)
    print(f"CPU per replicate, {REPLICATES} replicates, median of {ROUNDS} rounds")
    print(f"  bare loop, start-up taken off      {bare:6.1f} us")
    print(f"  mcstudy, start-up taken off        {whole - start:6.1f} us   ratio {ratio:.2f}")
    print(f"  mcstudy, start-up included         {whole:6.1f} us")
    print(f"  of the start, importing libraries  {libraries:6.1f} us")


if __name__ == "__main__":
    main()
