"""Studies with many conditions, and with many estimands and methods: each verb, against the start.

The unit is the start: importing numpy, pyarrow and joblib. The report of a run is a verb of its
own here. Run: python benchmarks/large.py [many] [wide]
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
LOOK_SECONDS = 0.2  # how often the files of a run are counted


def seconds(*command: str) -> tuple[float, float]:
    """Run Python with these arguments, without a report of its own; return wall and CPU seconds."""
    begun, before = time.perf_counter(), os.times()
    variables = os.environ | {"MCSTUDY_REPORT": "off"}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=variables)
    after = os.times()
    spent = after.children_user + after.children_system
    return time.perf_counter() - begun, spent - before.children_user - before.children_system


class FileCount(threading.Thread):
    """Counts the files below a folder until `stop`; `most` is the largest count."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.most, self.ended = folder, 0, threading.Event()

    def run(self) -> None:
        """Count again and again."""
        while not self.ended.wait(LOOK_SECONDS):
            self.most = max(self.most, sum(1 for _ in self.folder.rglob("*.parquet")))


def main() -> None:
    """Time each verb once on each of the studies."""
    start, _ = seconds("-c", "import numpy, pyarrow, joblib")
    print(f"start {start:.2f} s")
    for name in sys.argv[1:] or ("many", "wide"):
        with tempfile.TemporaryDirectory() as made:
            folder, file = Path(made) / name, str(HERE / f"{name}_study.py")
            run = ("-m", "mcstudy", "run", file, "--results", made)
            count = FileCount(folder)
            count.start()
            print(f"{name}: conditions, methods and estimands as the study says")
            for verb, command in (
                ("run", run),
                ("nothing missing", run),
                ("status", ("-m", "mcstudy", "status", str(folder))),
                ("failures", ("-m", "mcstudy", "failures", str(folder))),
                ("summarize", ("-m", "mcstudy", "summarize", str(folder))),
                ("report", ("-m", "mcstudy", "report", str(folder))),
            ):
                spent, cpu = seconds(*command)
                in_starts = f"{cpu:6.1f} s of CPU   {spent / start:6.1f} starts"
                print(f"  {verb:16s} {spent:6.1f} s   {in_starts}", flush=True)
                count.ended.set()
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
            print(f"  at most {count.most} files, {most:.0f} MB in the largest process so far")


if __name__ == "__main__":
    main()
