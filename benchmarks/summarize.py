"""Measures of many replicate rows: time against just reading those columns, and peak memory.

Three tables with as many rows: a Parquet file sorted by cell, one whose rows are strewn, and the
parts of a study. Run: python benchmarks/summarize.py [--rows 100000000] [--folder DIR]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.grid import Condition
from mcstudy.storage.parts import Head, column_name, new_part

CELLS, METHODS = 1000, 2
CHUNK = 2**20
PART = 2**18  # rows; with five numbers each, some 8 MB
BY = ["condition", "method"]
NUMBERS = ["replicate", "estimate", "std_error", "lower", "upper"]

READ = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
wanted, path = sys.argv[2], Path(sys.argv[3])
for each in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
    texts = {"condition", "method", "status"} & set(pq.read_schema(each).names)
    with pq.ParquetFile(each, read_dictionary=texts, pre_buffer=False) as file:
        for batch in file.iter_batches(2**18, columns=wanted.split(",") if wanted else None):
            pass
"""
MEASURE = """
import sys
import mcstudy
mcstudy.performance(sys.argv[3], truth=0.0, by=["condition", "method"])
"""
PEAK = """
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""
RESULTS = """
import sys
from pathlib import Path
from mcstudy.analysis.performance import measured_rows
from mcstudy.grid import Condition
from mcstudy.storage.rows import StudyRows
from mcstudy.storage.store import Store
by_digest = {of.digest: of for of in (Condition({"n": n}) for n in range(int(sys.argv[2])))}
stored = {condition: [] for condition in by_digest.values()}
for part in Store(Path(sys.argv[3])).parts():
    stored[by_digest[part.condition]].append(part)
truths = {condition: {"mean": 0.0} for condition in stored}
measured_rows(StudyRows(stored, truths, level=None))
"""


def draws(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Return the numbers of some rows."""
    estimate = rng.normal(size=count)
    std_error = rng.uniform(0.8, 1.2, count)
    half = 1.96 * std_error
    return {
        "estimate": estimate,
        "std_error": std_error,
        "lower": estimate - half,
        "upper": estimate + half,
    }


def texts(prefix: str, codes: np.ndarray, count: int) -> pa.DictionaryArray:
    """Return a column of words."""
    words = [f"{prefix}{i:04d}" for i in range(count)]
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), words)


def write_file(path: Path, rows: int, *, strewn: bool) -> None:
    """Write one file; its cells are in runs or all over."""
    rng = np.random.default_rng(1)
    each, writer = rows // CELLS, None
    for begin in range(0, rows, CHUNK):
        place = np.arange(begin, min(begin + CHUNK, rows))
        cell, replicate = (place % CELLS, place // CELLS) if strewn else np.divmod(place, each)
        table = pa.table(
            {
                "condition": texts("condition", cell // METHODS, -(-rows // each)),
                "method": texts("method", cell % METHODS, METHODS),
                "replicate": replicate,
                **draws(rng, len(place)),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def write_results(folder: Path, rows: int) -> None:
    """Store parts as a run does, those of a cell in pieces of a size at which none is joined."""
    rng = np.random.default_rng(1)
    for number in range(CELLS):
        condition, method = divmod(number, METHODS)
        key = Condition({"n": condition}).key
        for begin in range(0, rows // CELLS, PART):
            count = min(PART, rows // CELLS - begin)
            status = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), ["ok"])
            columns = {
                "replicate": np.arange(begin, begin + count),
                "status": status,
                "message": pa.nulls(count, pa.string()),
                "seconds": np.zeros(count),
                "warned": np.zeros(count, bool),
            }
            names = {"lower": ("mean", "given"), "upper": ("mean", "given")}
            for kind, values in draws(rng, count).items():
                columns[column_name(kind, *names.get(kind, ("mean", "")))] = values
            head = Head(key, f"method{method}", begin, begin + count, {"seed": "1"})
            part = new_part(pa.table(columns), head)
            path = folder / "parts" / part.place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.content)


def timed(code: str, *arguments: str) -> tuple[float, float, float]:
    """Run a program; return wall seconds, CPU seconds and peak MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, "-", *arguments],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, int(done.stderr.split()[-1]) / 1024


def compare(what: str, columns: str, measure: str, argument: str, path: Path) -> None:
    """Print one line: measuring against reading."""
    read = timed(READ, columns, str(path))
    measured = timed(measure, argument, str(path))
    start = timed("import sys, mcstudy.external.performance")
    print(
        f"{what:28s} read {read[0]:6.1f} s ({read[1]:6.1f} CPU, {read[2]:5.0f} MiB)   "
        f"measure {measured[0]:6.1f} s ({measured[1]:6.1f} CPU, {measured[2]:5.0f} MiB)   "
        f"ratio {(measured[0] - start[0]) / read[0]:5.2f} wall, "
        f"{(measured[1] - start[1]) / read[1]:5.2f} CPU",
        flush=True,
    )


def main() -> None:
    """Make the tables, measure them, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", help="where the tables are made; a temporary one by default")
    options = parser.parse_args()
    print(f"{options.rows} rows, {CELLS} cells; start-up taken off the ratio")
    columns = ",".join([*BY, *NUMBERS])
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        for name in ("sorted", "strewn"):
            path = Path(made) / f"{name}.parquet"
            write_file(path, options.rows, strewn=name == "strewn")
            compare(f"Parquet, {name} by cell", columns, MEASURE, "", path)
            path.unlink()
        folder = Path(made) / "results"
        write_results(folder, options.rows)
        compare("parts of a study", "", RESULTS, str(CELLS // METHODS), folder)


if __name__ == "__main__":
    main()
