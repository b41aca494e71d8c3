"""The pages of the docs: code that runs, commands that can be parsed, links that lead somewhere."""

import argparse
import io
import re
import shlex
from contextlib import redirect_stderr
from pathlib import Path

import pytest

import mcstudy
from mcstudy import MCStudyError
from mcstudy.cli import _parser

ROOT = Path(mcstudy.__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("*/*.md"))
BY_NAME = {page.relative_to(DOCS).as_posix(): page for page in PAGES}
FEW = 12
"""Replicates of each condition: here it is the code that is tested, not the numbers."""
ALL_REPLICATES = ("tables.md",)
"""Pages that show what their code prints."""
PRINTED = {
    "measures.md": (
        *("interval_score", "relative_error_model_se", "mean_ratio", "rejection_0.01"),
        "interval=bootstrap",
    ),
    "tables.md": (
        *("median against mean", "No two methods failed", "Ranking", "noise: what", r"\toprule"),
    ),
}
"""Words that the code of a page prints."""
STUDY_FILES = ("planning.md",)
"""Pages whose code is a whole study file; `test_docs_of_planning` runs it."""
FILES = {"tutorial.md": "costs.py"}
"""Files into which a page has its first block written."""
NOT_RUN = "<!-- not run -->\n"
"""Stands before code that is part of a whole: `Study(..., time_limit=60)`."""
VERBS = _parser()._subparsers._group_actions[0].choices


def code_of(page):
    """Return the Python code of a page, block by block."""
    blocks = re.findall(rf"^({NOT_RUN})?```python\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [block for not_run, block in blocks if not not_run]


def small(monkeypatch, most):
    """Let `run` and `solve` do with few replicates, in this process."""
    run, solve = mcstudy.run, mcstudy.solve

    def small_run(study, *args, replicates=None, **options):
        study = study if isinstance(study, mcstudy.Study) else mcstudy.load_study(study)
        asked = replicates or study.replicates
        options |= {"replicates": min(asked, most), "jobs": 1, "quiet": True}
        return run(study, *args, **options)

    def small_solve(study, *args, **options):
        return solve(study, *args, **options, replicates=most, most=10 * most, jobs=1)

    monkeypatch.setattr(mcstudy, "run", small_run)
    monkeypatch.setattr(mcstudy.Results, "report", lambda results: results.folder / "report.html")
    monkeypatch.setattr(mcstudy, "solve", small_solve)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Be in a folder with the shipped studies, and with results of the one that pages open."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in BY_NAME if name not in STUDY_FILES and code_of(BY_NAME[name])]
)
def test_contract_the_code_of_a_page_runs(name, folder, monkeypatch, capsys):
    small(monkeypatch, 10**9 if name in ALL_REPLICATES else FEW)
    if name in FILES:
        (folder / FILES[name]).write_text(code_of(BY_NAME[name])[0])
    names = {"__name__": "__main__"}
    for block in code_of(BY_NAME[name]):
        exec(compile(block, name, "exec"), names)
    printed = capsys.readouterr().out
    for word in PRINTED.get(name, ()):
        assert word in printed
    if name in ALL_REPLICATES:
        (table,) = re.findall(
            r"^```text\n(coverage: .*?)^```$", BY_NAME[name].read_text(), re.M | re.S
        )
        assert table in printed


def commands():
    """Yield page, command and whether it is a line to be typed, of all commands of the docs."""
    for page in (ROOT / "README.md", *PAGES):
        text = page.read_text().replace("\\\n", " ")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            if language in ("sh", "text", ""):
                for line in re.findall(r"^(?:\.venv/bin/)?mcstudy (.*)$", block, re.M):
                    yield page.name, line, True
        for inline in re.findall(r"`mcstudy ([a-z][^`\n]*)`", text):
            if inline != "results":  # of a fingerprint, and no verb
                yield page.name, inline.replace(r"\|", "|"), False


@pytest.mark.slow
def test_contract_the_commands_of_the_docs_can_be_parsed():
    found = list(commands())
    assert len(found) > 100
    for page, line, whole in found:
        words = shlex.split(re.sub(r"\$\w+", "1", line), comments=True)
        verb, *rest = words
        if verb in ("VERB", "--version"):
            continue
        assert verb in VERBS, f"{page}: mcstudy {line}"
        if whole or len([word for word in rest if not word.startswith("-")]) > 1:
            parsed(page, words)
        options = VERBS[verb]._option_string_actions
        for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
            assert option in options, f"{page}: mcstudy {line}: {option}"


def parsed(page, words):
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            _parser().parse_args(words)
    except (SystemExit, MCStudyError, argparse.ArgumentError) as error:
        unfinished = "..." in words
        if "--help" not in words and not unfinished:
            pytest.fail(f"{page}: mcstudy {' '.join(words)}: {said.getvalue() or error}")


def anchors_of(page):
    """Return the anchors of the headings of a page, as GitHub and myst make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return set(plain)


def test_contract_links_lead_to_files_and_headings_that_exist():
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES):
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"https?:|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors_of(file), f"{page.name}: {target}"


def test_contract_every_page_is_in_the_site():
    listed = set()
    for page in PAGES:
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(), re.M | re.S):
            lines = [line for line in tree.split("\n") if line and not line.startswith(":")]
            names = [re.sub(r"^.*<(.*)>$", r"\1", line) for line in lines]
            listed |= {(page.parent / name).resolve() for name in names}
    expected = {page.with_suffix("") for page in PAGES if page.name != "index.md"}
    assert expected <= listed
    assert DOCS / "study_to_paper" in listed


def test_contract_every_public_name_is_in_the_reference():
    from mcstudy import generators, nested

    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = re.findall(r"^\.\. auto\w+:: (?:mcstudy\.\w+\.)?(\w+)$", text, re.M)
    public = [name for name in vars(generators) if name in ("make_missing", "contaminate")]
    for name in (*mcstudy.__all__, *nested.__all__, *public):
        assert name in documented, name


def test_contract_every_verb_is_on_the_page_of_the_command_line():
    text = (DOCS / "command_line.md").read_text()
    for verb in VERBS:
        assert f"| `mcstudy {verb} " in text, verb


def test_contract_the_pictures_are_small_and_are_all_shown():
    shown = {
        name
        for page in (ROOT / "README.md", *PAGES)
        for name in re.findall(r"figures/([\w.]+\.svg)\)", page.read_text())
    }
    pictures = {path.name for path in (DOCS / "figures").iterdir()}
    assert pictures == shown
    assert all((DOCS / "figures" / name).stat().st_size < 60_000 for name in pictures)
