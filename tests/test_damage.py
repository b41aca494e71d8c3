"""Damage on disk: a bit, a block, a file; it is noticed or harmless, and never other numbers."""

import contextlib
import io
import random
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mcstudy import MCStudyError, open_results, run, status
from mcstudy.cli import main
from mcstudy.storage import parts, store
from mcstudy.storage.checksums import ChecksumError, read_verified

TINY = [("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(n=[5, 10], mean=[0.0])"), ("=60", "=3")]
TABLES = ("conditions", "fits", "estimates", "intervals", "timings", "performance", "comparisons")
SUMS = ("conditions", "endings", "performance")


def is_part(path):
    return path.parents[2].name == "parts"


class Folder:
    """A small results folder, with a copy of it to be hurt."""

    def __init__(self, path, results, tables=TABLES):
        self.path, self.folder, self.tables = path, results.folder, tables
        self.whole = self.folder.with_name("whole")
        shutil.copytree(self.folder, self.whole)
        self.digests = results.digests()
        self.frames = {name: getattr(results, name) for name in tables}

    def restore(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.whole, self.folder)

    def files(self):
        return sorted(p for p in self.folder.rglob("*") if p.suffix in (".parquet", ".json"))

    def check(self, what):
        """Read, summarize and run the folder as it is, and demand the same tables or a line."""
        self.check_reading(what)
        told, err = self.call("status", str(self.folder))
        assert told in (0, 2), what
        assert told == 0 or err.count("\n") == 1, (what, err)
        told, err = self.call("summarize", str(self.folder))
        assert told == 0 or (told == 2 and err.count("\n") == 1), (what, err)
        if told == 0:
            assert open_results(self.folder).digests() == self.digests, what
        self.check_reading(what)
        results = str(self.folder.parent)
        told, err = self.call("run", str(self.path), "--results", results, "--jobs", "1")
        assert told == 0, (what, err)
        assert "changed since" not in err, what
        assert open_results(self.folder).digests() == self.digests, what

    def check_reading(self, what):
        for name in self.tables:
            with contextlib.suppress(MCStudyError):
                found = getattr(open_results(self.folder), name)
                pd.testing.assert_frame_equal(found, self.frames[name], obj=str(what))

    def call(self, *arguments):
        err = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            return main(arguments), err.getvalue()


@pytest.fixture
def small(study_file, tmp_path):
    path = study_file(*TINY)
    return Folder(path, run(path, tmp_path, jobs=1, quiet=True))


@pytest.fixture
def small_sums(study_file, tmp_path):
    path = study_file(*TINY, ("seed=7", 'seed=7, keep="measures"'))
    return Folder(path, run(path, tmp_path, jobs=1, quiet=True), SUMS)


def flipped(content, bit):
    hurt = bytearray(content)
    hurt[bit // 8] ^= 1 << bit % 8
    return bytes(hurt)


def by_flips(folder, count):
    """Check flips of bits drawn from all files; each file gets its share."""
    draw = random.Random(1)
    for number in range(count):
        files = folder.files()
        path = files[number % len(files)]
        bit = draw.randrange(8 * path.stat().st_size)
        path.write_bytes(flipped(path.read_bytes(), bit))
        folder.check((path.name, bit))
        folder.restore()


@pytest.mark.slow
def test_contract_a_flipped_bit_is_noticed_or_harmless(small):
    by_flips(small, 8)


@pytest.mark.slow
def test_contract_a_flipped_bit_is_noticed_or_harmless_where_sums_are_kept(small_sums):
    by_flips(small_sums, 4)


def test_contract_a_flip_in_the_word_before_a_checksum_is_no_other_version(small):
    path = next(path for path in small.files() if is_part(path))
    content = path.read_bytes()
    path.write_bytes(flipped(content, 8 * content.index(b"mcstudy\x01") + 3))
    small.check(path.name)


@pytest.mark.slow
@pytest.mark.parametrize("place", [100, -100])
def test_contract_replay_tells_of_a_damaged_part(small, place, capfd):
    """In its pages and in its footer."""
    for path in small.files():
        if is_part(path):
            hurt = bytearray(path.read_bytes())
            hurt[place] ^= 1
            path.write_bytes(hurt)
    asked = ["replay", str(small.folder), "--condition", "n=5", "--replicate", "0"]
    assert main(asked) == 3
    said = capfd.readouterr().out
    assert said.count(": damaged, and not read; run the study again") == 2  # one of each method
    assert main(["status", str(small.folder)]) == 0
    assert "4 damaged parts, not counted" in capfd.readouterr().out
    assert main(["summarize", str(small.folder)]) == 2
    asked = ["run", str(small.path), "--results", str(small.folder.parent), "--jobs", "1"]
    for more in (["--retry", "timeout"], []):
        capfd.readouterr()
        assert main([*asked, *more]) == 0
        assert capfd.readouterr().err.count("set aside, and computed again") == 4
        assert open_results(small.folder).digests() == small.digests
        assert main(["summarize", str(small.folder)]) == 0
        small.restore()
        for path in small.files():
            if is_part(path):
                path.write_bytes(flipped(path.read_bytes(), 8 * (place % path.stat().st_size)))


def test_contract_others_read_what_is_sealed(small):
    polars = pytest.importorskip("polars")
    for path in small.files():
        if path.suffix == ".parquet":
            rows = pq.read_table(path).num_rows
            assert len(pd.read_parquet(path)) == len(polars.read_parquet(path)) == rows
            assert polars.scan_parquet(path).collect().height == rows


@pytest.mark.xslow
def test_contract_many_flipped_bits_are_noticed_or_harmless(small):
    by_flips(small, 1000)


def is_noticed(folder, path):
    """Read a file as all do who read it; return whether that said that something is wrong."""
    try:
        if path.name == "study.json":
            assert open_results(folder).study
        elif is_part(path):
            parts.read_head(path)
            parts.part_at(path).rows()
        else:
            assert len(getattr(open_results(folder), path.stem))
    except MCStudyError:
        return True
    return False


@pytest.mark.slow
def test_contract_no_flipped_bit_passes_the_checksum(small):
    """All of them, in the smallest of the files."""
    path = min(small.files(), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    read_verified(path)
    for bit in range(8 * len(content)):
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ChecksumError):
            read_verified(path)


@pytest.mark.xslow
def test_contract_every_flipped_bit_is_noticed(small):
    """All of them, by those who read the file; the layout of study.json alone carries nothing."""
    record = open_results(small.folder).study
    for path in small.files():
        content = path.read_bytes()
        for bit in range(8 * len(content)):
            path.write_bytes(flipped(content, bit))
            if not is_noticed(small.folder, path):
                assert path.name == "study.json", (path.name, bit)
                assert open_results(small.folder).study == record, bit
        path.write_bytes(content)


def test_contract_status_does_not_count_what_is_damaged(small, capfd):
    path = next(path for path in small.files() if is_part(path))
    before = status(small.folder).fits
    path.write_bytes(flipped(path.read_bytes(), 800))
    now = status(small.folder)
    assert now.damaged == 1
    assert now.fits.done.sum() < before.done.sum()
    assert now.fits.missing.sum() == before.done.sum() - now.fits.done.sum()
    capfd.readouterr()
    assert main(["run", str(small.path), "--results", str(small.folder.parent), "--jobs", "1"]) == 0
    assert "Nothing is missing" not in capfd.readouterr().err


def test_contract_a_disk_that_keeps_nothing_ends_the_run(study_file, tmp_path, monkeypatch):
    """Or it would compute for ever."""
    write = store.write_content

    def forgetful(path, content, **how):
        half = len(content) // 2
        changed = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        write(path, changed if path.suffix == ".parquet" else content)

    monkeypatch.setattr(store, "write_content", forgetful)
    with pytest.raises(MCStudyError, match="damaged right after they were written") as raised:
        run(study_file(*TINY), tmp_path, jobs=1, quiet=True)
    assert "--results" in str(raised.value)
    assert list((tmp_path / "normal" / "parts" / "damaged").iterdir())
    monkeypatch.undo()
    assert len(run(study_file(*TINY), tmp_path, jobs=1, quiet=True).estimates) > 0
