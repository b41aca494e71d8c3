"""Bad input gets one line, exit status 2, and loses nothing."""

import shutil

import pytest

from mcstudy import run
from mcstudy.cli import main


def fails(capfd, *arguments):
    """Run the command line; return the one line of its refusal."""
    try:
        status = main(["run", *map(str, arguments)])
    except SystemExit as end:
        status = end.code
    out, err = capfd.readouterr()
    assert status == 2, (status, out, err)
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_contract_half_a_call_is_not_shown_where_a_study_is_refused(study_file, capfd):
    assert fails(capfd, study_file(("seed=7", "seed=-1"))).endswith(
        "give an integer of 0 or more\n"
    )
    shown = fails(capfd, study_file(("study = Study(", "int('x')\nstudy = Study(")))
    assert shown.endswith("(in: int('x'))\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("study = Study(", "study = = Study(", "study_file.py:15: SyntaxError"),
        ("study = Study(", "design = Study(", "defines no 'study'; end it with study = Study"),
        ("study = Study(", "study = dict(", "'study' is a dict"),
        ("import numpy as np", "import numpie", "numpie"),
        ("replicates=60", "replicates=0", "replicates is 0; give an integer of 1 or more"),
        ("replicates=60", "replicates='many'", "replicates is 'many'"),
        ("seed=7", "seed=-1", "seed is -1"),
        ("seed=7", "sed=7", "Study has no argument 'sed' (did you mean 'seed'?); it has name, "),
        ("replicates=60,", "", "Study lacks replicates"),
        ("(rng, *, n, mean)", "(n, mean)", "write def simulate(rng, n, mean)"),
        ("(rng, *, n, mean)", "(rng, *, n)", "simulate does not take the factors mean, n"),
        ("lambda *, n, mean:", "lambda *, n:", "estimands does not take the factors"),
        ('{"mean": mean}', '{"mean": "x"}', "estimands fails at mean=0, n=5: 'x' is a text"),
        ('{"mean": mean}', '{"mean": mean, "median": mean}', "no method returns the estimand 'med"),
        (
            '{"mean": mean}',
            '{"median": mean}',
            "of which estimands says nothing (did you mean 'median'?)",
        ),
        ('{"mean": Estimate(sample.mean(), se', '{"mean": (sample.mean(), se', "return Estimate("),
        ("return {", "return 3 and 5; {", "method 'average' returned 5; return {estimand: Est"),
        ("Estimate(sample.mean(), se", "Estimate(sample, se", "give numbers"),
        ("Estimate(sample.mean(), se", "Estimate('1.5', se", "give numbers"),
        ("0.01 * rng.normal()", "np.random.normal()", "the global random state of numpy.random"),
        ("grid(n=[5, 10]", "grid(n=[]", "'n' has no levels"),
        ('name="normal"', 'name="a/b"', "cannot name a folder"),
        ('"average": average, "jittered": jittered', "", "methods is {}"),
    ],
)
def test_contract_bad_study_files(study_file, tmp_path, capfd, old, new, message):
    path = study_file((old, new))
    assert message in fails(capfd, path, "--results", tmp_path, "--jobs", "1")
    assert not list(tmp_path.glob("*/parts/*/*/*.parquet"))


def test_contract_bad_arguments(study_file, tmp_path, capfd):
    path = study_file()
    assert "cannot be read" in fails(capfd, tmp_path / "none.py")
    assert "cannot be read" in fails(capfd, tmp_path)
    assert "--replicates is 'many'" in fails(capfd, path, "--replicates", "many")
    assert "replicates is 0" in fails(capfd, path, "--replicates", "0")
    assert "no method 'lme4'; it has average, jittered" in fails(capfd, path, "--methods", "lme4")
    assert "jobs is 0" in fails(capfd, path, "--jobs", "0")
    said = "argument --changed: no 'discarded' (did you mean 'discard'?); choose from"
    assert said in fails(capfd, path, "--changed", "discarded")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in fails(capfd, path, "--results", tmp_path / "file")


def change(study_file, tmp_path, capfd, *edits):
    """Run the plain study, then an edited one; return the refusal and how to run it."""
    results = tmp_path / "results"
    run(study_file(), results, jobs=1, replicates=5, quiet=True)
    path = study_file(*edits)
    return fails(capfd, path, "--results", results, "--jobs", "1", "--replicates", "5"), path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed=7", "seed=8", "holds rows of seed 7 and this study has seed 8"),
        ("rng.normal(mean, size=n)", "rng.normal(mean, 2, size=n)", "the code of simulate"),
        ("0.01 * rng", "0.02 * rng", "the code of method 'jittered'. Nothing was done: --changed"),
    ],
)
def test_contract_a_changed_study_is_noticed(study_file, tmp_path, capfd, old, new, message):
    assert message in change(study_file, tmp_path, capfd, (old, new))[0]


def test_contract_a_changed_truth_is_noticed_and_taken(study_file, tmp_path, capfd):
    refusal, path = change(study_file, tmp_path, capfd, ('{"mean": mean}', '{"mean": mean + 1}'))
    assert "the truth of mean at mean=0, n=5: 0.0 -> 1.0 (and of 3 more)" in refusal
    results = run(path, tmp_path / "results", jobs=1, replicates=5, changed="keep", quiet=True)
    assert set(results.estimates.truth) == {1.0, 2.5}


def test_contract_a_changed_package_is_noticed(study_file, tmp_path, capfd, monkeypatch):
    from mcstudy.storage import provenance

    run(study_file(), tmp_path, jobs=1, replicates=5, quiet=True)
    other = {**provenance.versions_of_rows(), "statsmodels": "99"}
    monkeypatch.setattr(provenance, "versions_of_rows", lambda: other)
    assert "statsmodels" in fails(capfd, study_file(), "--results", tmp_path, "--jobs", "1")


@pytest.mark.slow
def test_contract_changed_rows_are_kept_or_computed_anew(study_file, tmp_path, capfd):
    old = run(study_file(), tmp_path / "old", jobs=1, replicates=10, quiet=True).estimates
    edit = ("0.01 * rng", "0.02 * rng")
    new = run(study_file(edit), tmp_path / "new", jobs=1, replicates=10, quiet=True)

    run(study_file(), tmp_path / "kept", jobs=1, replicates=5, quiet=True)
    path = study_file(edit)
    kept = run(path, tmp_path / "kept", jobs=1, replicates=10, changed="keep", quiet=True)
    first = kept.estimates[kept.estimates.replicate < 5].reset_index(drop=True)
    rest = kept.estimates[kept.estimates.replicate >= 5].reset_index(drop=True)
    assert first.equals(old[old.replicate < 5].reset_index(drop=True))
    assert rest.equals(new.estimates[new.estimates.replicate >= 5].reset_index(drop=True))
    run(path, tmp_path / "kept", jobs=1, replicates=10, quiet=True)

    run(study_file(), tmp_path / "gone", jobs=1, replicates=5, quiet=True)
    path = study_file(edit)
    gone = run(path, tmp_path / "gone", jobs=1, replicates=10, changed="discard", quiet=True)
    assert gone.digests() == new.digests()
    run(path, tmp_path / "gone", jobs=1, replicates=10, quiet=True)


@pytest.mark.slow
def test_contract_rows_computed_anew_reach_the_tables(study_file, tmp_path):
    edit = ("rng.normal(mean, size=n)", "rng.normal(mean + 1, size=n)")
    run(study_file(), tmp_path / "a", jobs=1, replicates=5, quiet=True)
    path = study_file(edit)
    anew = run(path, tmp_path / "a", jobs=1, replicates=5, changed="discard", quiet=True)
    assert anew.digests() == run(path, tmp_path / "b", jobs=1, replicates=5, quiet=True).digests()


def test_contract_comments_and_other_functions_are_no_change(study_file, tmp_path):
    run(study_file(), tmp_path, jobs=1, replicates=5, quiet=True)
    edit = (
        "def average(sample):",
        'def unused():\n    return 1\n\ndef average(sample):\n    """Words."""  # more words',
    )
    run(study_file(edit), tmp_path, jobs=1, replicates=5, quiet=True)


OBJECT = (
    "study = Study(",
    "class Shifted:\n    by = 1.0\n    def __call__(self, sample):\n"
    "        return {'mean': Estimate(sample.mean() + self.by)}\n\nstudy = Study(",
)
NAMED = ('{"average": average,', '{"object": Shifted(), "average": average,')


def test_contract_a_method_that_is_an_object_is_known_by_its_class_and_state(
    study_file, tmp_path, capfd
):
    run(study_file(OBJECT, NAMED), tmp_path, jobs=1, replicates=5, quiet=True)
    other = study_file(OBJECT, NAMED, ("import numpy as np", "import numpy as np\nUNUSED = 1"))
    run(other, tmp_path, jobs=1, replicates=5, quiet=True)
    changed = study_file(OBJECT, NAMED, ("by = 1.0", "by = 2.0"))
    refusal = fails(capfd, changed, "--results", tmp_path, "--jobs", "1", "--replicates", "5")
    assert "the code of method 'object'. Nothing" in refusal


def test_contract_a_change_in_what_a_method_calls_is_noticed(study_file, tmp_path, capfd):
    helper = (
        "def average(sample):",
        "FACTOR = 1.0\ndef scale(x):\n    return FACTOR * x\n\ndef average(sample):\n    scale(1)",
    )
    run(study_file(helper), tmp_path, jobs=1, replicates=5, quiet=True)
    path = study_file(helper, ("FACTOR = 1.0", "FACTOR = 1.5"))
    assert "'average'" in fails(capfd, path, "--results", tmp_path, "--jobs", "1")


CHANGED = ("sample.mean(), se,", "sample.mean() + 1, se,")


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_rows_of_the_present_code_come_before_kept_ones(study_file, tmp_path, keep):
    kept = ("seed=7", f"seed=7, keep={keep!r}")
    plain = run(study_file(kept), tmp_path, jobs=1, quiet=True)
    digests = plain.digests()
    few = {"replicates": 20, "jobs": 1, "quiet": True}
    other = run(study_file(kept, CHANGED), tmp_path / "other", **few)
    shutil.copytree(other.folder / "parts", plain.folder / "parts", dirs_exist_ok=True)
    again = run(study_file(kept), tmp_path, changed="keep", jobs=1, quiet=True)
    assert again.digests() == digests
    assert not again.study["older_rows"]


def test_contract_kept_rows_are_counted_once(study_file, tmp_path):
    run(study_file(CHANGED), tmp_path, jobs=1, quiet=True)
    more = {"replicates": 80, "changed": "keep", "jobs": 1, "quiet": True}
    results = run(study_file(), tmp_path, **more)
    assert results.study["older_rows"] == [
        "rows of 'average' made by older code or packages are among them: 240 of 320"
    ]
