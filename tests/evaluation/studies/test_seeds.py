"""Trainings that differ in their seed: means of their rows, and how far they lie apart."""

import csv

import numpy as np
import pytest

from acsgreg_tf.evaluation import NUMBERS
from acsgreg_tf.evaluation.studies.seeds import averaged, seed_table


def training(dices, name="net"):
    """Rows of two pairs with these Dice, all other numbers 1."""
    pair = {"method": name, "moving": "m", "level": "L1", "label": "1", "fault": ""} | dict.fromkeys(NUMBERS, 1.0)
    return [pair | {"fixed": f"f{n}", "dice_deformable": dice} for n, dice in enumerate(dices)]


def test_a_pair_has_its_mean_over_trainings():
    rows = averaged([training([0.8, 0.6]), training([0.9, 0.4])])
    assert [row["fixed"] for row in rows] == ["f0", "f1"]
    assert [row["dice_deformable"] for row in rows] == pytest.approx([0.85, 0.5])
    assert rows[0]["assd_mm_deformable"] == 1


def test_trainings_tested_on_other_pairs_are_refused():
    with pytest.raises(ValueError, match="other pairs"):
        averaged([training([0.8, 0.6]), training([0.8, 0.6])[::-1]])
    with pytest.raises(ValueError):
        averaged([training([0.8, 0.6]), training([0.8])])


def test_spread_and_differences(tmp_path):
    """Means 0.7, 0.8, 0.9 against 0.6, 0.8, 0.7: a difference of 0.1 +- 0.1, whose interval is 4.303 * 0.1 / sqrt 3."""
    runs = {
        "study III": [training([0.6, 0.8]), training([0.8, 0.8]), training([1.0, 0.8])],
        "study II": [training([0.6, 0.6]), training([0.8, 0.8]), training([0.7, 0.7])],
    }
    lines = seed_table(tmp_path / "seeds.csv", runs).splitlines()
    assert lines[0] == "|  | Dice Affine | Dice Final | ASSD mm Final | folds % |"
    assert lines[2] == "| study III | 1.000 ± 0.000 | 0.800 ± 0.100 | 1.000 ± 0.000 | 1.0000 ± 0.0000 |"
    reach = 4.303 * 0.1 / np.sqrt(3)
    assert lines[4].startswith(f"| study III − study II | +0.000 (+0.000 to +0.000) | +0.100 ({0.1 - reach:+.3f} to ")
    with open(tmp_path / "seeds.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["network"], row["training"]) for row in table][:4] == [
        ("study III", "0"),
        ("study III", "1"),
        ("study III", "2"),
        ("study II", "0"),
    ]
    assert float(table[2]["dice_deformable"]) == pytest.approx(0.9)
