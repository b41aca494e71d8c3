"""The documentation of tables: its examples run, and it shows what they print."""

import re
from pathlib import Path

from mcstudy.comparison.failure_rules import VIEWS
from mcstudy.comparison.paired_measures import COMPARISONS, INTERVAL_COMPARISONS
from mcstudy.comparison.runs import OUTCOMES

DOCS = Path(__file__).parents[1] / "docs" / "tables.md"


def test_contract_the_examples_run_and_print_the_table_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    (table,) = re.findall(r"```text\n(coverage: .*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert table in shown
    for word in (
        "median against mean",
        "No two methods failed",
        "Ranking",
        "noise: what",
        "\\toprule",
    ):
        assert word in shown


def test_contract_every_word_is_described():
    text = DOCS.read_text()
    for name in (*COMPARISONS, *INTERVAL_COMPARISONS, "rejection_difference", *OUTCOMES):
        assert f"`{name}`" in text, name
    for name in VIEWS:
        assert f"**{name}**" in text, name
