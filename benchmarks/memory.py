"""Peak memory of a run of 10^5 and of 10^6 trivial replicates: how much more the second needs.

One condition; one process that does all (--jobs 1), then two workers and the process that leads
them. Peaks are of resident memory, of each process by itself; no report is made. Takes some
minutes.
Run: python benchmarks/memory.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = Path(__file__).with_name("memory_study.py")
SIZES = (100_000, 1_000_000)


def peak(process: int) -> int:
    """Return the peak resident memory of a living process in MB, 0 once it has ended."""
    try:
        lines = Path("/proc", str(process), "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def children(process: int) -> list[int]:
    """Return the children of a process."""
    try:
        return [
            int(c) for c in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    except OSError:
        return []


def peaks(replicates: int, workers: int) -> tuple[int, list[int], float]:
    """Run the study from nothing; return the peaks of the leading process and of its workers."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = subprocess.Popen(
            [
                *(sys.executable, "-m", "mcstudy", "run", str(STUDY), "--results", folder),
                *("--jobs", str(workers), "--replicates", str(replicates)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MCSTUDY_REPORT": "off"},
        )
        leader, others = 0, dict[int, int]()
        while run.poll() is None:
            leader = max(leader, peak(run.pid))
            for child in children(run.pid):
                others[child] = max(others.get(child, 0), peak(child))
            time.sleep(0.02)
        if run.returncode:
            raise SystemExit(f"the run ended with status {run.returncode}")
        return leader, sorted(others.values())[-workers:], time.perf_counter() - begun


def main() -> None:
    """Print the peaks for both sizes, with one process and with two workers."""
    print("replicates   jobs   seconds   leading process   workers   (peaks, MB)")
    for workers in (1, 2):
        for replicates in SIZES:
            leader, others, seconds = peaks(replicates, workers)
            shown = " ".join(map(str, others)) if workers > 1 else "-"
            print(f"{replicates:10} {workers:6} {seconds:9.1f} {leader:17}   {shown}", flush=True)


if __name__ == "__main__":
    main()
