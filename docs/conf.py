"""How the site is built: python -m sphinx -W --keep-going -b html docs docs/_build/html."""

import mcstudy

project = "mcstudy"
author = "the authors of mcstudy"
release = version = mcstudy.__version__
html_title = f"mcstudy {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebook has its outputs: `make_notebook.py` makes them
highlight_language = "text"  # of blocks that name none

default_role = "py:obj"  # `run` in a docstring is a link where there is something to link to
autodoc_typehints = "none"  # numpydoc has the types
autodoc_member_order = "bysource"
autosummary_generate = False  # the pages in reference/ are written, not made
numpydoc_show_class_members = False  # `:members:` shows them
