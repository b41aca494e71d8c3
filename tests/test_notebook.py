"""The notebook of the docs: it runs, shows what it stores, and needs no network to be seen."""

import runpy
from pathlib import Path

import pytest

import mcstudy

pytest.importorskip("nbclient", reason="needs the extra docs")
pytest.importorskip("ipykernel", reason="needs the extra docs")
DOCS = Path(mcstudy.__file__).parents[1] / "docs"
NOTEBOOK = DOCS / "study_to_paper.ipynb"


def outputs(notebook):
    """Return the outputs of each cell with code, by what they are: text, HTML, image."""
    return [
        [output.get("data", {"text/plain": output.get("text")}) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def texts(notebook):
    return [[data["text/plain"] for data in cell] for cell in outputs(notebook)]


def without_seconds(cells):
    """Return the texts without the times of fits, which are others each time."""
    return [[text.partition("seconds_ratio: value")[0] for text in cell] for cell in cells]


@pytest.fixture(scope="module")
def stored():
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.filterwarnings("default")  # of Jupyter's own
def test_contract_the_notebook_runs_and_its_texts_are_the_stored_ones(stored):
    executed = runpy.run_path(str(DOCS / "make_notebook.py"))["executed"](NOTEBOOK)
    assert without_seconds(texts(executed)) == without_seconds(texts(stored))


def test_contract_the_notebook_is_small_and_is_seen_without_a_network(stored):
    assert NOTEBOOK.stat().st_size < 1_000_000
    shown = [data for cell in outputs(stored) for data in cell]
    assert sum("image/png" in data for data in shown) == 6
    assert {kind for data in shown for kind in data} == {"text/plain", "text/html", "image/png"}
    assert not any("http" in data.get("text/html", "") for data in shown)


def test_contract_a_summary_names_no_foreign_folder_and_no_address_of_memory(stored):
    said = "\n".join(text for cell in texts(stored) for text in cell)
    assert "0x" not in said
    assert "PosixPath" not in said
    assert str(Path.home()) not in said
