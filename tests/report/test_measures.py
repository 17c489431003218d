import re
from pathlib import Path

import pytest

from acsgreg_tf.registration.refine import DEFAULT_STEPS
from acsgreg_tf.report.measures import extra_lines, lines_of, stage_of
from acsgreg_tf.report.usual import is_worse, usual

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = {
    "dice": {"before": 0.5, "affine": 0.8, "deformable": 0.963},
    "assd_mm": {"before": 3.0, "affine": 1.5, "deformable": 0.9},
    "lncc": {"before": 0.1, "affine": 0.2, "deformable": 0.7},
    "ncc": {"before": 0.1, "affine": 0.2, "deformable": None},
    "folds": {"count": 2, "percent": 0.1, "network": 40},
    "inverse_error_mm": 0.05,
    "inverse_error_max_mm": 0.96,
    "seconds": {"total": 12.3},
}


def test_the_page_of_results_says_what_is_usual():
    """Both are written by one command; a number that stands in one alone was changed by hand."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    headings = {
        "before": "centres laid on each other",
        "affine": "affine fitted to the surfaces",
        "network alone": "network alone",
        "default": "default",
        "refined": "refined",
    }
    section = page.split("### Pairs of two real CTs")[1].split("### ")[0]
    for stage, heading in headings.items():
        told = usual()["stages"][stage]
        (line,) = re.findall(rf"^\| {heading} \(\d+\) \| (.*) \|$", section.split("\n\n")[1], re.MULTILINE)
        *_, every, worst = line.split(" | ")
        dice, assd = told["dice"], told["assd_mm"]
        assert every == " / ".join(f"{m['mean']:.3f} ± {m['std']:.3f}" for m in (dice, assd))
        assert worst == f"{dice['worst']:.3f} / {assd['worst']:.3f}"
    table = [line.strip("| ").split(" | ") for line in section.split("\n\n")[2].strip().splitlines()]
    for stage in ("network alone", "default", "refined"):
        (cells,) = [cells for cells in table if cells[0].startswith(f"{stage} (")]
        row = dict(zip(table[0], cells, strict=True))
        for heading, name in (("std log J", "std_log_jacobian"), ("inverse error mm", "inverse_error_mm")):
            number = usual()["stages"][stage][name]
            assert row[heading] == f"{number['mean']:.3f} ± {number['std']:.3f}"


def test_a_result_is_compared_with_its_own_kind():
    assert stage_of(SUMMARY) == "network alone"
    assert stage_of(SUMMARY | {"refinement": {"steps": DEFAULT_STEPS}}) == "default"
    assert stage_of(SUMMARY | {"refinement": {"steps": 50}}) == "refined"
    assert stage_of(SUMMARY | {"refinement": {"steps": 0}}) == "network alone"
    assert stage_of(SUMMARY | {"transform": "rigid", "refinement": {"steps": 50}}) == "affine"


def test_lines_say_what_is_worse_than_usual():
    lines = {line.name: line for line in lines_of(SUMMARY)}
    assert lines["Dice"].remark == "as usual" and lines["Dice"].values == ("0.500", "0.800", "0.963")
    assert lines["surface distance (ASSD), mm"].remark == "worse than usual"
    assert lines["folds of the transform"].remark == "there must be none"
    assert lines["NCC"].values[2] == "–"
    assert lines["inverse error, largest, mm"].values[2] == "0.96"
    assert "± " in lines["Dice"].usual


def test_without_labels_there_is_no_overlap():
    names = [line.name for line in lines_of({name: SUMMARY[name] for name in ("lncc", "folds")})]
    assert names == ["LNCC", "folds of the transform"]
    assert dict(extra_lines(SUMMARY))["time"] == "12.3 s"


@pytest.mark.parametrize("stage", ["network alone", "default", "refined", "affine"])
def test_means_are_usual_and_the_far_side_of_the_worst_is_not(stage):
    for measure, sign in (("dice", -1), ("assd_mm", 1)):
        number = usual()["stages"][stage][measure]
        assert not is_worse(stage, measure, number["mean"])
        assert is_worse(stage, measure, number["worst"] + sign * 0.01)
    assert not is_worse(stage, "dice", None) and not is_worse(stage, "unknown", 3.0)
