"""The documentation of measures: it names every measure."""

import subprocess
import sys
from pathlib import Path

from mcstudy.measure import BUILT_IN

DOCS = Path(__file__).parents[1] / "docs" / "measures.md"


def test_contract_every_measure_is_described():
    text = DOCS.read_text()
    for name in BUILT_IN:
        assert f"`{name}`" in text, name


def test_contract_measuring_a_table_does_not_import_statsmodels():
    code = (
        "import sys, pandas, mcstudy; frame = pandas.DataFrame({'estimate': [1.0, 2.0]}); "
        "mcstudy.performance(frame, truth=0); "
        "print({'statsmodels', 'scipy.stats', 'joblib', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
