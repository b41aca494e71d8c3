"""The documentation of measures: its examples run, and it names every measure."""

import re
import subprocess
import sys
from pathlib import Path

from mcstudy.measure import BUILT_IN

DOCS = Path(__file__).parents[1] / "docs" / "measures.md"


def test_contract_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert len(blocks) == 8
    names = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), names)
    shown = capsys.readouterr().out
    assert "interval_score" in shown
    assert "relative_error_model_se" in shown
    assert "mean_ratio" in shown
    assert "rejection_0.01" in shown
    assert "interval=bootstrap" in shown


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
