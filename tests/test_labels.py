"""`aims` and `labels`: checked, kept in `study.json`, never a change of the study."""

import json

import pytest

from mcstudy import Study, check, grid, load_study, open_results, run
from mcstudy.errors import ResultsError, StudyError
from mcstudy.labels import label, level_label

LABELS = {
    **{"n": "sample size", "n=5": "few", "average": "sample mean", "coverage": "hit rate"},
    **{
        "estimand=mean": "expected value",
        "interval=reported": "two errors",
        "factor=mean": "centre",
    },
}
SAID = ("replicates=60,", f"replicates=60, aims='Which mean?', labels={LABELS!r},")


def declared(**options):
    return Study(
        name="s",
        simulate=lambda rng, *, n, kind: rng.normal(size=n),
        estimands=lambda *, n, kind: {"mean": 0.0},
        methods={"average": lambda data: {}},
        conditions=grid(n=[5, 10], kind=["normal", "skewed"]),
        replicates=2,
        seed=1,
        **options,
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["n"], "s: labels is ['n']; write {'name': 'words'}"),
        ({"n": ""}, "s: the label of 'n' is ''; give a text of one line"),
        ({"n": 3}, "s: the label of 'n' is 3; give a text of one line"),
        ({"n": "a\nb"}, r"s: the label of 'n' is 'a\nb'; give a text of one line"),
        ({3: "a"}, "s: labels names 3; give a name as text"),
        ({"n=7": "a"}, "s: labels names 'n=7' (did you mean 'n=5'?), which is no factor, "),
        ({"method=averag": "a"}, "s: labels names 'method=averag' (did you mean 'average'?), "),
    ],
)
def test_contract_labels_are_checked_when_they_are_declared(labels, message):
    with pytest.raises(StudyError) as caught:
        declared(labels=labels)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_contract_aims_must_be_a_text():
    with pytest.raises(StudyError, match=r"s: aims is 3; give a text"):
        declared(aims=3)


def test_contract_a_label_of_what_is_no_estimand_is_refused_before_any_job(tmp_path):
    study = declared(labels={"kind=skewed": "long tail", "maen": "a mean"})
    with pytest.raises(StudyError, match=r"labels names 'maen' \(did you mean 'mean'\?\)"):
        run(study, tmp_path, jobs=1, quiet=True)
    assert not list(tmp_path.rglob("*.parquet"))


def test_contract_the_more_definite_label_is_taken():
    labels = {
        "mean": "both",
        "estimand=mean": "expected value",
        "kind=skewed": "long",
        "n=5": "few",
    }
    assert label(labels, "mean", "estimand") == "expected value"
    assert label(labels, "mean", "factor") == label(labels, "mean") == "both"
    assert label(labels, "mad") == "mad"
    assert level_label(labels, "kind", "skewed") == "long"
    assert level_label(labels, "n", 5.0) == "few"
    assert level_label(labels, "n", 50) is None


def test_contract_aims_are_the_docstring_where_none_are_given(study_file):
    path = study_file()
    assert load_study(path).aims == ""
    path.write_text(f'"""Which mean?\n\n    Why.\n    """\n{path.read_text()}')
    assert load_study(path).aims == "Which mean?\n\nWhy."
    assert load_study(study_file(SAID)).aims == "Which mean?"


def test_contract_aims_and_labels_change_no_row_and_no_table(study_file, tmp_path):
    plain = run(study_file(), tmp_path / "plain", jobs=1, quiet=True)
    results = run(study_file(SAID), tmp_path / "said", jobs=1, quiet=True)
    assert results.digests() == plain.digests()
    assert (plain.aims, plain.labels) == ("", {})
    assert (results.aims, results.labels) == ("Which mean?", LABELS)
    again = run(study_file((SAID[0], "replicates=60, labels={'n': 'size'},")), tmp_path / "said")
    assert again.labels == open_results(again.folder).labels == {"n": "size"}
    assert len(again.study["runs"]) == 1
    assert again.digests() == plain.digests()


def test_contract_a_folder_from_before_has_no_aims_and_no_labels(study_file, tmp_path):
    from mcstudy.storage.record import NAME, read_record, record_content

    results = run(study_file(SAID), tmp_path, jobs=1, quiet=True)
    record = read_record(results.folder)
    del record["aims"], record["labels"]
    (results.folder / NAME).write_bytes(record_content(record))
    assert "labels" not in json.loads((results.folder / NAME).read_text())
    before = open_results(results.folder)
    assert (before.aims, before.labels) == ("", {})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html"])
def test_contract_printed_tables_have_the_words_in_every_format(form, study_file, tmp_path, capsys):
    from mcstudy.cli import main

    failing = (
        "    se = sample",
        "    if sample[0] > 1: raise ValueError('no')\n    se = sample",
    )
    other = ("replicates=60,", "replicates=20, reference='jittered',")
    labels = {"average": "the-mean", "jittered": "noisy", "n": "size", "n=5": "few", "rmse": "RMS"}
    named = ("seed=7", f"seed=7, labels={labels | {'coverage': 'hits', 'estimand=mean': 'centre'}}")
    results = run(study_file(failing, other, named), tmp_path, jobs=1, quiet=True)
    folder = str(results.folder)
    for command, words in (
        (
            ["table", folder, "--measure", "rmse,coverage"],
            ("the-mean", "few", "RMS", "hits", "size"),
        ),
        (["anova", folder, "--measure", "rmse"], ("RMS", "size", "few")),
        (["failures", folder], ("the-mean", "noisy", "size=few", "Ranking of the methods by RMS")),
        (["compare", folder, "--methods", "average,jittered"], ("he-mean against noisy", "few")),
        (["summarize", folder], ("the-mean", "centre", "size=few", "hits")),
    ):
        assert main([*command, "--format", form]) == 0
        shown = capsys.readouterr().out
        for word in words:
            assert word in shown, (command, word)
    assert main(["table", folder, "--measure", "rmse", "--format", "csv"]) == 0
    assert "the-mean" not in capsys.readouterr().out


def test_contract_check_names_the_label_of_no_estimand(study_file):
    wrong = study_file(("seed=7", "seed=7, labels={'maen': 'a mean'}"))
    assert any("labels names 'maen'" in problem for problem in check(wrong).problems)
    right = study_file(("seed=7", "seed=7, labels={'estimand=mean': 'a mean'}"))
    assert check(right).clean


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("sample size=5", "'sample size' is a label; write n"),
        ("n=few", "where: few is a label; write n=5"),
        ("method=sample mean", "where: sample mean is a label; write method=average"),
        ("estimand=expected value", "where: expected value is a label; write estimand=mean"),
    ],
)
def test_contract_a_label_in_place_of_a_name_is_answered_with_the_name(
    study_file, tmp_path, where, said
):
    results = run(study_file(SAID), tmp_path, jobs=1, quiet=True)
    with pytest.raises(ResultsError) as caught:
        results.table("bias", where=where)
    assert str(caught.value) == said


def test_contract_the_label_of_a_measure_is_answered_with_the_name(study_file, tmp_path):
    results = run(study_file(SAID), tmp_path, jobs=1, quiet=True)
    with pytest.raises(ResultsError, match="'hit rate' is a label; write coverage"):
        results.table("hit rate")
    with pytest.raises(ResultsError, match="'sample mean' is a label; write average"):
        results.compare("jittered", "sample mean")
