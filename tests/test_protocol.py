"""`mcstudy protocol`: the twenty questions of ADEMP-PreReg from the declarations of a study."""

import re

import pytest

import mcstudy
from mcstudy import Study, grid, protocol
from mcstudy.cli import main
from mcstudy.errors import StudyError

MORE = (
    "replicates=60,",
    "replicates=400, aims='Is <b>it</b> any | good?\\n\\nOr not?', null=1.0, reference='average', "
    "labels={'n': 'sample size', 'n=5': 'few', 'average': 'the mean', 'estimand=mean': 'centre'}, "
    "precision={'coverage': 0.02}, max_replicates=2000, time_limit=9,"
    "measures={'share above': share_above},",
)
OWN = (
    "study = Study(",
    'def share_above(estimate):\n    """Share above 0."""\n    return (estimate > 0).mean()\n\n'
    "study = Study(",
)


def questions(text):
    return re.findall(r"^### (\d+)\. (.*)$", text, flags=re.MULTILINE)


def test_contract_it_has_the_twenty_questions_in_the_order_of_ademp(study_file):
    text = protocol(study_file()).to("markdown")
    assert [int(number) for number, _ in questions(text)] == list(range(1, 21))
    parts = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert [part.split()[0] for part in parts] == [
        *("General", "Aims", "Data-generating", "Estimands", "Methods", "Performance", "Other")
    ]
    assert text.startswith("# Protocol of the simulation study normal\n")


def test_contract_declarations_answer_and_the_rest_is_for_a_person(study_file):
    text = protocol(study_file(MORE, OWN)).to("markdown")
    for words in (
        r"Is \<b>it\</b> any \| good?",
        "Or not?",
        "Fully factorial: 2 x 2 = 4 conditions.",
        "5 (few), 10",
        "0 to 1.5",
        "rejection",
        "Share above 0.",
        "average (the mean)",
        "return rng.normal(mean, size=n)",
        "compared with average",
        "A fit is ended after 9 s.",
        "or at 2000",
        "Seed 7.",
        "SHA-256",
        "numpy",
    ):
        assert words in text, words
    assert text.count("FOR A PERSON: ") == 16
    assert "FOR A PERSON: the aims" in protocol(study_file()).to("markdown")


def test_law_the_number_of_replicates_is_justified_by_its_errors(study_file):
    text = protocol(study_file(MORE, OWN)).to("markdown")
    assert "0.011 where the share is 0.95" in text  # sqrt(.95 x .05 / 400) = .0109
    assert "0.025 where the share is 0.5" in text
    assert "0.05 of the empirical SE" in text
    assert "0.25/0.02^2 = 625" in text
    assert "No pilot was made" in text


@pytest.mark.slow
def test_contract_a_pilot_adds_the_errors_to_expect(study_file):
    text = protocol(study_file(), pilot=0.3).to("markdown")
    assert "largest error" in text
    assert re.search(r"\| bias +\| 0\.\d+", text)
    assert "No pilot was made" not in text
    with pytest.raises(StudyError, match="pilot is 0; give seconds"):
        protocol(study_file(), pilot=0)


def test_contract_some_combinations_only_is_partially_factorial(study_file):
    edit = ("conditions=grid(n=[5, 10], mean=[0.0, 1.5])", "conditions=grid(n=[5], mean=[0.0]) + ")
    path = study_file((edit[0], edit[1] + "grid(n=[10], mean=[1.5])"))
    assert "Partially factorial: 2 of the 4 combinations" in str(protocol(path))


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "csv"])
def test_contract_it_comes_in_every_format_and_does_not_vary(form, study_file, capsys):
    path = str(study_file(MORE, OWN))
    for _ in range(2):
        assert main(["protocol", path, "--format", form]) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]
    assert "<b>" not in shown or form in ("text", "csv", "markdown")
    if form == "html":
        assert "<h3>20. " in shown
    if form == "latex":
        assert r"\subsubsection*{20. " in shown


def test_contract_it_goes_to_a_new_file_and_never_over_one(study_file, tmp_path, capsys):
    path, output = str(study_file()), tmp_path / "plan.md"
    assert main(["protocol", path, "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"Protocol: {output}\n"
    assert output.read_text() == protocol(path).to("markdown") + "\n"
    output.write_text("mine")
    assert main(["protocol", path, "--output", str(output)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert main(["protocol", path, "--output", str(tmp_path / "none" / "x.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_contract_a_study_of_a_session_without_factors_has_one(capsys):
    study = mcstudy.Study(
        name="s",
        simulate=lambda rng: rng.normal(size=3),
        estimands=lambda: {"x": float("nan")},
        methods={"m": len},
        conditions=mcstudy.grid(),
        replicates=1,
        seed=1,
        level=None,
    )
    text = str(protocol(study))
    assert "None: there is one condition." in text
    assert "Wald" not in text
    assert "builtins.len" in text


def test_contract_a_plan_without_true_values_names_the_measures_that_it_will_have():
    study = Study(
        name="numbers",
        simulate=lambda rng: rng.normal(size=5),
        estimands=None,
        methods={"mean": lambda x: {"m": x.mean()}},
        conditions=grid(),
        replicates=20,
        seed=3,
    )
    text = protocol(study).to("markdown")
    part = text[text.index("Which performance measures are used?") :]
    assert "| quantile_95" in part
    assert "| bias" not in part
    assert "| coverage" not in part
    assert "estimate minus truth" not in part
    assert "Bias has" not in part
