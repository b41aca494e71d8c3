"""Start: `mcstudy run` of a study with nothing missing, against importing what it needs anyway.

The aim is 1.3 times the imports and 0.4 s, with bytecode cached, as a first run
leaves it. Run: python benchmarks/start.py
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = Path(__file__).with_name("overhead_study.py")
ROUNDS = 9
TIMES, PLUS = 1.3, 0.4  # what is allowed


def seconds(*command: str) -> tuple[float, float]:
    """Run Python with these arguments; return wall and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Interleave the two; print medians."""
    with tempfile.TemporaryDirectory() as folder:
        run = ("-m", "mcstudy", "run", str(STUDY), "--replicates", "100", "--results", folder)
        seconds(*run)
        rounds = [
            (seconds("-c", "import numpy, pyarrow, joblib"), seconds(*run)) for _ in range(ROUNDS)
        ]
    print(f"nothing missing, medians of {ROUNDS} rounds")
    for place, kind in enumerate(("wall", "CPU")):
        imports, whole = (
            statistics.median(times[place] for times in column)
            for column in zip(*rounds, strict=True)
        )
        ratio = statistics.median((b[place] - PLUS) / a[place] for a, b in rounds)
        print(
            f"  {kind:4s} imports {imports:5.2f} s   run {whole:5.2f} s   "
            f"ratio {whole / imports:.2f}   with {PLUS} s off the run {ratio:.2f} (at most {TIMES})"
        )


if __name__ == "__main__":
    main()
