"""The scripts in benchmarks/ still find every name that they import; their measurements are not repeated here."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.tensorflow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_imports_and_says_how_to_call_it(script, monkeypatch):
    names = runpy.run_path(str(script), run_name="benchmark")
    assert f"python benchmarks/{script.name}" in names["__doc__"]
    if "argparse" in names:
        monkeypatch.setattr("sys.argv", [script.name, "--help"])
        with pytest.raises(SystemExit) as ended:
            names["main"]()
        assert ended.value.code == 0
