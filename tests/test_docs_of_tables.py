"""The documentation of tables: it names every measure, view and outcome."""

from pathlib import Path

from mcstudy.comparison.failure_rules import VIEWS
from mcstudy.comparison.paired_measures import COMPARISONS, INTERVAL_COMPARISONS
from mcstudy.comparison.runs import OUTCOMES

DOCS = Path(__file__).parents[1] / "docs" / "tables.md"


def test_contract_every_word_is_described():
    text = DOCS.read_text()
    for name in (*COMPARISONS, *INTERVAL_COMPARISONS, "rejection_difference", *OUTCOMES):
        assert f"`{name}`" in text, name
    for name in VIEWS:
        assert f"**{name}**" in text, name
