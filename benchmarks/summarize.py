"""Measures of many replicate rows: time against just reading those columns, and peak memory.

Three tables with as many rows: a results folder of ours, a Parquet file sorted by cell, and one
whose rows are strewn. Run: python benchmarks/summarize.py [--rows 100000000] [--folder DIR]
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

CELLS, METHODS = 1000, 2
CHUNK = 2**20
BY = ["condition", "method"]
NUMBERS = ["replicate", "estimate", "std_error", "lower", "upper"]

READ = """
import sys
import pyarrow.parquet as pq
for path in sys.argv[3].split(","):
    names = pq.read_schema(path).names
    texts = {"condition", "method", "estimand", "interval", "status"} & set(names)
    columns = [name for name in sys.argv[2].split(",") if name in names]
    with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
        for batch in file.iter_batches(2**18, columns=columns):
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
from mcstudy.storage.folder import RecordedStudy
from mcstudy.storage.rows import StudyRows
recorded = RecordedStudy.of(Path(sys.argv[3]))
measured_rows(StudyRows(recorded.stored(), recorded.truths, level=None))
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
    writer.close()


def write_results(folder: Path, rows: int) -> None:
    """Write tables as `run` does, a row group for each block of a condition."""
    from mcstudy.storage.export import BLOCK
    from mcstudy.storage.files import TableWriters, write_table

    rng = np.random.default_rng(1)
    conditions = [f"n={i}" for i in range(CELLS // METHODS)]
    keys = [("condition", pa.string()), ("replicate", pa.int64()), ("method", pa.string())]
    number, text = pa.float64(), pa.string()
    estimand, interval = ("estimand", text), ("interval", text)
    schemas = {
        "fits": pa.schema([*keys, ("status", text), ("message", text)]),
        "estimates": pa.schema(
            [*keys, estimand, ("truth", number), ("estimate", number), ("std_error", number)]
        ),
        "intervals": pa.schema([*keys, estimand, interval, ("lower", number), ("upper", number)]),
    }
    folder.mkdir()
    write_table(
        folder / "conditions.parquet",
        pa.table({"condition": conditions, "n": range(len(conditions))}),
        {},
    )
    with TableWriters(folder, schemas, {}) as writers:
        for condition in conditions:
            for begin in range(0, rows // CELLS, BLOCK):
                count = min(BLOCK, rows // CELLS - begin)
                replicate = np.repeat(np.arange(begin, begin + count), METHODS)
                size = len(replicate)
                columns = {
                    "condition": pa.repeat(condition, size),
                    "replicate": replicate,
                    "method": pa.array(["method0000", "method0001"] * count),
                    "estimand": pa.repeat("mean", size),
                    "interval": pa.repeat("default", size),
                    "status": pa.repeat("ok", size),
                    "message": pa.nulls(size, text),
                    "truth": np.zeros(size),
                    **draws(rng, size),
                }
                writers.write(
                    {
                        name: pa.table({column: columns[column] for column in schema.names})
                        for name, schema in schemas.items()
                    }
                )


def timed(code: str, *arguments: str) -> tuple[float, float, float]:
    """Run a program; return wall seconds, CPU seconds and peak MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, "-", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, int(done.stderr.split()[-1]) / 1024


def compare(what: str, measure: tuple[str, str], columns: str, paths: str) -> None:
    """Print one line: measuring against reading."""
    read = timed(READ, columns, paths)
    measured = timed(measure[0], "", measure[1])
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
            compare(f"Parquet, {name} by cell", (MEASURE, str(path)), columns, str(path))
            path.unlink()
        folder = Path(made) / "results"
        write_results(folder, options.rows)
        read = [str(folder / f"{name}.parquet") for name in ("fits", "estimates", "intervals")]
        columns = "replicate,method,estimand,interval,status,truth,estimate,std_error,lower,upper"
        compare("results folder", (RESULTS, str(folder)), columns, ",".join(read))


if __name__ == "__main__":
    main()
