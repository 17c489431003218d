"""The notebooks run from top to bottom, with fewer steps of training than they show."""

import os
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
# What the cells tagged "parameters" are replaced by.
SHORT = {"quickstart": "FINE_TUNING_STEPS = 2", "train_your_own": "STEPS = 2"}


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_valid_and_holds_no_outputs(path):
    book = read(path)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert parameters.source.startswith(SHORT[path.stem].split("=")[0])


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    book = read(path)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = SHORT[path.stem]
    NotebookClient(
        book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "docs")}}
    ).execute()
    printed = "".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))
    if path.stem == "quickstart":
        shown = [output["data"] for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
        assert any("image/png" in data for data in shown)  # the figure
        assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)  # NiiVue
        assert "doubts: none" in printed and "of 4 held-out vertebrae right" in printed
    else:
        assert "last.h5" in printed and "for a paper: " in printed
