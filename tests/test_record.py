"""study.json and the heads of parts: read through one schema; what does not fit it is one line."""

import hashlib
import io
import json
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcstudy import Estimate, MCStudyError, Study, grid, open_results, run
from mcstudy.cli import main
from mcstudy.errors import StudyError
from mcstudy.storage import parts
from mcstudy.storage.checksums import key_value
from mcstudy.storage.parts import Head
from mcstudy.storage.record import Record, as_json, record_content
from mcstudy.storage.schema import misfit
from mcstudy.storage.store import Store


@pytest.fixture
def small(study_file, tmp_path):
    path = study_file(("=60", "=3"))
    return path, run(path, tmp_path, jobs=1, quiet=True)


def signed(record):
    """Return a study.json whose checksum is right, whatever it says."""
    said = {key: value for key, value in record.items() if key != "sha256"}
    digest = hashlib.sha256(as_json(said).encode()).hexdigest()
    return json.dumps({**said, "sha256": digest}).encode()


def changed(**changes):
    return lambda content: signed({**json.loads(content), **changes})


RECORDS = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "not UTF-8": lambda content: content.replace(b"normal", b"n\xf6rmal"),
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "deep": lambda content: b"[" * 200_000,
    "deep and closed": lambda content: b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "a long number": lambda content: content.replace(b'"seed": 7', b'"seed": ' + b"7" * 5000),
    "a list": lambda content: b"[1]",
    "a number": lambda content: b"5",
    "null": lambda content: b"null",
    "edited": lambda content: content.replace(b'"seed": 7', b'"seed": 8'),
    "unsigned": lambda content: content.replace(b"sha256", b"sha257"),
    "a format in words": changed(format="one"),
    "kept null": changed(kept=None),
    "methods 5": changed(methods=5),
    "facts unknown": changed(facts=["nothing"]),
    "condition a list": changed(conditions={"n=5": {"n": [5]}}),
    "condition of another key": changed(conditions={"n=5": {"n": 6}}),
    "marks of numbers": changed(marks={"average": {"seed": 7}}),
    "keep something": changed(keep="something"),
    "truths of texts": changed(truths={"n=5": {"mean": "0"}}),
    "null a list": changed(null=[0.0]),
    "seed true": changed(seed=True),
    "of another study": changed(name="other"),
}


@pytest.mark.parametrize("how", RECORDS)
def test_contract_a_record_that_cannot_be_used_is_one_line_and_run_mends_it(
    small, tmp_path, capfd, how
):
    path, results = small
    folder, digests = results.folder, results.digests()
    before = {file.name: file.read_bytes() for file in folder.glob("*.parquet")}
    record = folder / "study.json"
    record.write_bytes(RECORDS[how](record.read_bytes()))
    for verb in (
        ["status", folder],
        ["summarize", folder],
        ["table", folder, "--measure", "bias"],
        ["failures", folder],
        ["anova", folder, "--measure", "bias"],
        ["compare", folder, "--methods", "average,jittered"],
        ["compare", folder, folder],
        ["replay", folder, "--condition", "n=5,mean=0", "--replicate", "0"],
    ):
        if how == "of another study":
            break
        assert main(list(map(str, verb))) == 2, verb
        err = capfd.readouterr().err
        assert err.count("\n") == 1, err
        assert f"{record}: " in err
        assert "to make it anew: mcstudy run STUDY" in err
        assert "share" not in err
    assert {file.name: file.read_bytes() for file in folder.glob("*.parquet")} == before
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1"]) == 0
    err = capfd.readouterr().err
    assert f"Note: {record}: " in err
    assert "it is made anew" in err
    assert open_results(folder).digests() == digests
    assert (folder / "parts" / "damaged" / "study.json").is_file()
    capfd.readouterr()
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1"]) == 0
    assert "Note" not in capfd.readouterr().err


def test_contract_collect_mends_a_record_as_run_does(small, tmp_path, capfd):
    path, results = small
    digests = results.digests()
    (results.folder / "study.json").write_text("{}")
    assert main(["collect", str(path), "--results", str(tmp_path)]) == 0
    assert "study.json: has no checksum" in capfd.readouterr().err
    assert open_results(results.folder).digests() == digests


def test_contract_a_record_says_the_same_in_another_layout(small):
    _, results = small
    record = results.folder / "study.json"
    record.write_text(json.dumps(json.loads(record.read_text())))
    assert open_results(results.folder).study == results.study


HEADS = {
    "empty": lambda head: {},
    "a list": lambda head: [head],
    "a text": lambda head: "head",
    "start of text": lambda head: {**head, "start": "0"},
    "start beyond stop": lambda head: {**head, "start": 3, "stop": 0},
    "more rows": lambda head: {**head, "stop": 4},
    "true": lambda head: {**head, "start": False},
    "provenance null": lambda head: {**head, "provenance": None},
    "provenance empty": lambda head: {**head, "provenance": {}},
    "another seed": lambda head: {**head, "provenance": {**head["provenance"], "seed": "8"}},
    "another method": lambda head: {**head, "method": "jittered"},
    "a number as method": lambda head: {**head, "method": 5},
    "sums in rows": lambda head: {**head, "references": {"the truth of mean": 0.0}},
    "another condition": lambda head: {**head, "condition": "n=6"},
}


@pytest.mark.parametrize("how", HEADS)
def test_contract_a_part_with_a_head_of_other_shape_is_set_aside(
    small, tmp_path, capfd, monkeypatch, how
):
    path, results = small
    digests = results.digests()
    part = min((results.folder / "parts").glob("*/*/*.parquet"))
    table = pq.read_table(part)
    head = json.loads(table.schema.metadata[b"mcstudy"])
    part.write_bytes(with_head(table, HEADS[how](head)))
    for verb in ("status", "summarize"):
        assert main([verb, str(results.folder)]) in (0, 2)
        assert capfd.readouterr().err.count("\n") <= 1
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1"]) == 0
    assert f"{part}: damaged, or no part; set aside" in capfd.readouterr().err
    assert open_results(results.folder).digests() == digests


def with_head(table, head):
    from mcstudy.storage.checksums import with_checksum

    sink = io.BytesIO()
    text = json.dumps(head)
    pq.write_table(table.replace_schema_metadata({"mcstudy": text}), sink)
    return with_checksum(sink.getvalue())


def test_contract_a_record_of_another_format_is_one_line_and_left_alone(small, tmp_path, capfd):
    path, results = small
    record = results.folder / "study.json"
    record.write_bytes(changed(format=1)(record.read_bytes()))
    content = record.read_bytes()
    for verb in (["status", results.folder], ["run", path, "--results", tmp_path]):
        assert main(list(map(str, verb))) == 2, verb
        err = capfd.readouterr().err
        assert err.count("\n") == 1, err
        assert f"{record}: was written by another version of mcstudy" in err
    assert record.read_bytes() == content


@pytest.mark.parametrize("version", ["unsealed", "format 1", "newer"])
def test_contract_a_part_of_another_version_is_one_line_and_left_alone(
    small, tmp_path, capfd, version
):
    path, results = small
    part = min((results.folder / "parts").glob("*/*/*.parquet"))
    table = pq.read_table(part)
    head = json.loads(table.schema.metadata[b"mcstudy"])
    if version == "newer":
        part.write_bytes(with_head(table, {**head, "format": 99, "more": 1}))
    else:
        part.unlink()
        part = results.folder / "parts" / "n-0000000000-0000000003-01234567.parquet"
        head = {"condition": "n=5", "start": 0, "stop": 3, "marks": {}, "columns": {}}
        if version == "format 1":
            part.write_bytes(with_head(table, {**head, "format": 1}))
        else:
            pq.write_table(table.replace_schema_metadata({"mcstudy": json.dumps(head)}), part)
    content = part.read_bytes()
    beside = part.with_name("0.parquet")  # damaged, in a folder that is another version's
    if version != "newer":
        beside.write_bytes(b"")
    for verb in (
        ["run", path, "--results", tmp_path, "--jobs", 1],
        ["status", results.folder],
        ["summarize", results.folder],
        ["collect", path, "--results", tmp_path],
    ):
        assert main(list(map(str, verb))) == 2, verb
        err = capfd.readouterr().err
        assert err.count("\n") == 1, err
        assert f"{part}: was written by another version of mcstudy" in err
    assert part.read_bytes() == content
    assert beside.exists() == (version != "newer")


def test_contract_a_part_of_rows_and_its_name_and_head_agree(small):
    _, results = small
    part = min((results.folder / "parts").glob("*/*/*.parquet"))
    head = parts.read_head(part)
    assert head.place == part.relative_to(results.folder / "parts")
    named = parts.part_at(part)
    assert (named.method, named.start, named.stop) == (head.method, head.start, head.stop)
    assert named.rows().num_rows == head.stop - head.start
    other = part.with_name(part.name.replace("-0000000003.", "-0000000004."))
    part.rename(other)
    with pytest.raises(MCStudyError, match="damaged"):
        parts.read_head(other)


ODD_NAMES = [
    "a/b",
    "..",
    ".hidden",
    "damaged",
    "discarded",
    "x.parquet",
    "50%",
    "%41",
    "中文",
    "A",
    "a",
]


def test_contract_any_name_of_a_method_is_a_folder_of_its_own(tmp_path):
    study = Study(
        name="odd",
        simulate=lambda rng: rng.normal(),
        estimands=lambda: {"mean": 0.0},
        methods={name: lambda number: {"mean": Estimate(number)} for name in ODD_NAMES},
        conditions=grid(),
        replicates=3,
        seed=1,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    stored = Store(results.folder).parts()
    assert sorted(part.method for part in stored) == sorted(ODD_NAMES)
    assert all(parts.read_head(part.path).method == part.method for part in stored)
    assert len(run(study, tmp_path, jobs=1, quiet=True).fits) == 3 * len(ODD_NAMES)
    assert not (results.folder / "parts" / "damaged").exists()


def test_contract_what_is_written_fits_the_schema(small):
    _, results = small
    record = json.loads(record_content(results.study))
    assert not misfit(record, Record)
    assert misfit({**record, "kept": [1]}, Record) == "'kept'[0] is 1"
    assert misfit({}, Head) == "'condition' is missing"
    assert misfit(5, Head) == "it is 5"
    head = Head("n=5", "average", 0, 3, {}, {"the truth of mean": None})
    assert not misfit(asdict(head), Head)
    wrong = {**asdict(head), "references": {"the truth of mean": "0"}}
    assert misfit(wrong, Head) == "'references'['the truth of mean'] is '0'"


def test_contract_a_name_too_long_for_a_folder_is_one_line_before_anything_starts(
    study_file, tmp_path
):
    path = study_file(('"average"', f'"{"é" * 150}"'))
    with pytest.raises(StudyError, match="has a name of 300 bytes"):
        run(path, tmp_path / "results", jobs=1, quiet=True)
    assert not list((tmp_path / "results").glob("*/study.json"))


@pytest.mark.parametrize("length", [0, 1, 127, 128, 20_000])
def test_identity_a_text_of_a_footer_is_the_one_that_pyarrow_reads(length):
    text = b"x" * length
    rows = pa.table({"numbers": [1.0]}).replace_schema_metadata({b"other": b"y", b"mcstudy": text})
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    content = sink.getvalue()
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") :]
    assert key_value(footer, b"mcstudy") == pq.read_metadata(sink).metadata[b"mcstudy"] == text
    with pytest.raises(KeyError):
        key_value(footer, b"nothing")


def test_contract_a_head_counts_the_fits_that_failed_or_warned(study_file, tmp_path):
    path = study_file(("    se = ", "    if sample[0] < 0:\n        raise ValueError\n    se = "))
    results = run(path, tmp_path, jobs=1, quiet=True)
    stored = Store(results.folder).parts()
    counts = dict.fromkeys((part.method for part in stored), 0)
    for part in stored:
        counts[part.method] += part.head().troubled
    failed = results.fits[results.fits["status"] == "error"]
    assert counts == {name: int((failed["method"] == name).sum()) for name in counts}
    assert max(counts.values()) > 0
