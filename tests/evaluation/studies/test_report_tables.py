"""The studies' tables of rows whose means are known, beside the paper's numbers."""

import csv

import numpy as np
import pytest

from acsgreg_tf.evaluation import NUMBERS
from acsgreg_tf.evaluation.studies.paper import PAPER, PAPER_FOLDS
from acsgreg_tf.evaluation.studies.report_tables import ablation_table, by_level, fold_table, stage_table
from tests.evaluation.studies.cases import LEVELS


def row(level, **numbers):
    return {"method": f"net {level}", "level": level, "fault": ""} | dict.fromkeys(NUMBERS, 1.0) | numbers


@pytest.fixture
def summary():
    """Dice 0.8 and 0.6 at L1, 0.1 at L2; 100, 300 and 200 folds."""
    return by_level(
        [
            row("L1", dice_deformable=0.8, folds_count=100),
            row("L2", dice_deformable=0.1, folds_count=200),
            row("L1", dice_deformable=0.6, folds_count=300),
        ]
    )


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_levels_of_differently_named_methods_are_one_table(summary):
    assert list(summary) == ["L1", "L2", "Average"]
    assert summary["Average"]["dice_deformable"]["mean"] == pytest.approx(0.5)


def test_stages(summary, tmp_path):
    text = stage_table(tmp_path / "table.csv", summary, PAPER["III"])
    lines = text.splitlines()
    assert lines[0].startswith("|  | pairs | Dice Initial | Dice Affine | Dice Final | PREC Initial")
    assert lines[2].split(" | ")[:5] == [
        "| L1",
        "2",
        *(f"1.000 ± 0.000 ({paper})" for paper in ("0.610", "0.691")),
        "0.700 ± 0.141 (0.958)",
    ]
    first, second, average = read(tmp_path / "table.csv")
    assert float(first["dice_deformable"]) == pytest.approx(0.7)
    assert float(first["dice_deformable_std"]) == pytest.approx(np.sqrt(0.02))
    assert float(second["assd_mm_deformable_paper"]) == PAPER["III"]["L2"][-1]
    assert average["level"] == "Average" and average["pairs"] == "3"


def test_a_level_that_the_paper_lacks_stands_alone(tmp_path):
    text = stage_table(tmp_path / "table.csv", by_level([row("T12")]), PAPER["I"])
    assert "| T12 | 1 | 1.000 | 1.000 |" in text
    assert read(tmp_path / "table.csv")[0]["dice_before_paper"] == ""


def test_folds_of_both_networks_side_by_side(summary, tmp_path):
    other = by_level([row("L1", folds_count=5), row("L2", folds_count=7)])
    text = fold_table(tmp_path / "table.csv", summary, other)
    assert text.splitlines()[2].startswith("| L1 | 200 (27427) | 141 (5839) | 5 (10209) | nan (1500) | 1.000 (2.7) |")
    first = read(tmp_path / "table.csv")[0]
    assert float(first["folds_count_AVoxelMorph_mean"]) == 200 and float(first["folds_count_ACSGRegNet_mean"]) == 5
    assert first["folds_percent_ACSGRegNet_mean_paper"] == "1.0"


def test_ablations(summary, tmp_path):
    text = ablation_table(tmp_path / "table.csv", [("whole", 1234, summary["L1"]), ("part", 5, summary["L2"])])
    assert text.splitlines()[2].startswith("| whole | 1,234 | 1.000 ± 0.000 | 0.700 ± 0.141 |")
    whole, part = read(tmp_path / "table.csv")
    assert whole["network"] == "whole" and float(part["dice_deformable"]) == 0.1


def test_the_papers_tables_agree_with_themselves():
    """Averages are those of the levels, percentages those of the counts on 127 x 127 x 63: typing errors would show."""
    for table in PAPER.values():
        levels = np.array([table[level] for level in LEVELS])
        np.testing.assert_allclose(levels.mean(0), table["Average"], atol=0.0021)
    counts = np.array([PAPER_FOLDS[level] for level in LEVELS])
    np.testing.assert_allclose(counts.mean(0)[[0, 2, 4, 6]], np.array(PAPER_FOLDS["Average"])[[0, 2, 4, 6]], atol=1)
    every = np.array(list(PAPER_FOLDS.values()))
    np.testing.assert_allclose(100 * every[:, :4] / (127 * 127 * 63), every[:, 4:], atol=0.06)
