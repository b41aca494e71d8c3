"""Draw the pictures of the pages: run the code of a page, and save each figure above its picture.

mcstudy run configs/quickstart.py
python docs/make_figures.py results/quickstart

On a page, a block of code whose last line is a figure stands above the picture of it,
``![words](figures/name.svg)``. Those of figures.md are of the quickstart.
"""

import ast
import os
import re
import sys
import tempfile
from pathlib import Path

from mcstudy import open_results

DOCS = Path(__file__).resolve().parent
HERE = DOCS / "figures"
PAGES = ("tutorial.md", "gallery.md")
FILES = {"tutorial.md": "costs.py"}  # the study file that the first block of a page is
GROUP2 = {"estimand": "group2_var", "group1_sd": 2.0}
PICTURES = {
    "coverage": ("coverage", {"where": {"estimand": "group2_var"}}),
    "zip": (
        "zip",
        {"where": {**GROUP2, "method": ["formula", "reml"], "interval": ["reported", "wald"]}},
    ),
    "estimates": ("estimates", {"where": {"estimand": "group1_var"}}),
    "statuses": ("statuses", {}),
}


def draw(page):
    """Run the code of a page in an empty folder, and save its figures."""
    blocks = re.findall(
        r"^```python\n(.*?)^```\n(?:\n!\[[^\]]*\]\(figures/([\w.]+)\))?",
        (DOCS / page).read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    if page in FILES:
        Path(FILES[page]).write_text(blocks.pop(0)[0])
    names = {"__name__": "__main__"}
    for code, picture in blocks:
        tree = ast.parse(code)
        last = tree.body.pop() if picture else None
        exec(compile(tree, page, "exec"), names)
        if last is not None:
            figure = eval(compile(ast.Expression(last.value), page, "eval"), names)
            figure.save(HERE / picture)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        results = open_results(sys.argv[1])
        for picture, (name, options) in PICTURES.items():
            results.plot(name, **options).save(HERE / f"{picture}.svg")
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            draw(page)
