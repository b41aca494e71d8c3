"""The shape of the package: what it exports, and that imports point one way."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import mcstudy

ROOT = Path(mcstudy.__file__).parent
ORDER = (
    *("terminal", "errors", "arguments", "arrays", "wald", "columns", "grid", "streams", "method"),
    *(
        "study_functions",
        "measure",
        "labels",
        "truths",
        "study",
        "loader",
        "simulation",
        "storage",
        "analysis",
        "tables",
    ),
    *(
        "comparison",
        "external",
        "figures",
        "report",
        "results",
        "execution",
        "planning",
        "inspection",
    ),
    *("option_values", "verbs", "cli", "generators"),
)
"""Modules and folders at the top: each imports only those before it."""
BEFORE_NESTED = {*ORDER[: ORDER.index("simulation")], "analysis", "external"}
"""`nested` stands apart: a study's own code, which measures its exact law and takes any frame."""


def imports_of(path):
    """Return the modules of ours that a file imports, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcstudy"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT.parent / Path(*inner.split("."))).with_suffix(".py").exists()
                yield inner if is_module else node.module
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("mcstudy"))


def graph():
    found = {}
    for path in ROOT.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            found[name] = set(imports_of(path)) - {name}
    return found


def test_contract_imports_point_one_way():
    tuple(graphlib.TopologicalSorter(graph()).static_order())


def test_contract_each_folder_imports_only_those_before_it():
    for name, imported in graph().items():
        home = name.split(".")[1]
        allowed = BEFORE_NESTED if home == "nested" else ORDER[: ORDER.index(home)]
        for other in imported - {"mcstudy"}:
            assert other.split(".")[1] in {home, *allowed}, f"{name} imports {other}"


def test_contract_public_names_exist():
    for name in mcstudy.__all__:
        assert getattr(mcstudy, name) is not None


def test_contract_help_and_the_study_file_vocabulary_import_no_heavy_package():
    code = (
        "import sys, mcstudy, mcstudy.cli; print({'pandas', 'pyarrow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_contract_a_worker_starts_without_what_it_may_not_need():
    code = "import sys, mcstudy.execution.worker; print({'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_contract_a_run_with_nothing_missing_imports_no_heavy_package(study_file, tmp_path):
    mcstudy.run(study_file(), tmp_path, jobs=1, quiet=True)
    heavy = {"pandas", "scipy", "statsmodels", "matplotlib", "rich", "pyarrow.compute"}
    code = (
        "import sys; from mcstudy.cli import main; "
        f"status = main(['run', 'study_file.py', '--results', {str(tmp_path)!r}]); "
        f"print(status, {heavy!r} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Nothing is missing" in done.stderr
    assert "bias" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_contract_the_readme_shows_the_shipped_study_and_is_two_screens():
    readme = (ROOT.parent / "README.md").read_text()
    study = (ROOT.parent / "configs" / "t_lognormal.py").read_text()
    assert study in readme
    assert study in (ROOT.parent / "docs" / "study_file.md").read_text()
    assert len(readme.splitlines()) <= 95


def test_contract_every_status_is_explained():
    page = (ROOT.parent / "docs" / "results_folder.md").read_text()
    for status in mcstudy.Status:
        assert f"| `{status}` | {status.meaning} |" in page


def test_contract_ci_runs_the_commands_of_the_readme():
    script = (ROOT.parent / ".ci" / "run").read_text()
    readme = (ROOT.parent / "README.md").read_text()
    commands = [block.split("```")[0].strip() for block in readme.split("```sh\n")[1:]]
    assert commands[0] in script
    assert commands[1] in script
