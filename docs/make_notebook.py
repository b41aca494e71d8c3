"""Write docs/study_to_paper.ipynb: execute its cells anew and store what they show.

    python docs/make_notebook.py

Change the cells in Jupyter, then run this: the stored outputs are those of a fresh kernel. It needs
the extra `docs`.
"""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("study_to_paper.ipynb")


def executed(path=NOTEBOOK):
    """Return the notebook, executed in an empty folder by a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    os.environ["COLUMNS"] = "80"  # texts are as wide as a page, whoever runs it
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}})
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
