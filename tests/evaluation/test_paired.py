"""Paired comparisons: known differences, p and intervals; who is a person."""

import numpy as np
import pytest

from acsgreg_tf.evaluation import NUMBERS
from acsgreg_tf.evaluation.paired import compare, comparison_markdown, people_of, person_of


def row(method, fixed, moving, dice, level="L3", fault=""):
    return dict.fromkeys(NUMBERS, float("nan")) | {
        **{"method": method, "fixed": fixed, "moving": moving, "level": level, "label": "", "fault": fault},
        "dice_deformable": dice,
    }


def rows(method, gains):
    """Each person fixed twice: the gain is the mean of what is gained on both."""
    return [
        row(method, f"p{person}-L3_ct.nii.gz", f"m{moving}", 0.5 + gain + sign * 0.05)
        for person, gain in enumerate(gains)
        for moving, sign in ((0, 1), (1, -1))
    ]


def test_six_people_who_all_gain():
    """All ranks on one side: p is 2 / 2^6; the interval is that of Student's t with 5 degrees of freedom."""
    gains = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    (test,) = compare(rows("new", gains), rows("old", [0] * 6), ["dice_deformable"])
    assert (test.method, test.reference, test.pairs, test.people) == ("new", "old", 12, 6)
    assert test.difference == pytest.approx(0.035) and test.p == pytest.approx(2 / 2**6)
    half = 2.570582 * np.std(gains, ddof=1) / np.sqrt(6)
    assert (test.low, test.high) == (pytest.approx(0.035 - half), pytest.approx(0.035 + half))
    assert "| new − old | Dice Final | 12 | 6 | +0.035 | +0.015 to +0.055 | 0.031 |" in comparison_markdown([test])


def test_many_pairs_of_few_people_are_few():
    """Two people give no small p, however many pairs they have."""
    new = [row("new", f"p{i % 2}_ct.nii", f"m{i}", 0.9 + 0.001 * (i % 2)) for i in range(40)]
    old = [row("old", f"p{i % 2}_ct.nii", f"m{i}", 0.8) for i in range(40)]
    (test,) = compare(new, old, ["dice_deformable"])
    assert test.people == 2 and test.pairs == 40 and test.p >= 0.5


def test_only_pairs_that_both_have():
    new = [row("new", "a", "m", 0.9), row("new", "b", "m", 0.9, fault="gone"), row("new", "c", "m", 0.9)]
    old = [row("old", "a", "m", 0.8), row("old", "b", "m", 0.1), row("old", "c", "other", 0.1)]
    (test,) = compare(new, old, ["dice_deformable", "seconds"])  # nobody has seconds
    assert test.pairs == test.people == 1 and test.difference == pytest.approx(0.1) and np.isnan(test.p)
    assert comparison_markdown([test]).endswith("| 1 | 1 | +0.100 | – | – |")
    assert compare(new, [], ["dice_deformable"]) == []


def test_no_difference_at_all():
    same = rows("new", [0, 0, 0])
    (test,) = compare(same, rows("old", [0, 0, 0]), ["dice_deformable"])
    assert test.difference == 0 and test.p == 1


@pytest.mark.parametrize(
    "name, person",
    [
        ("x/g3-00001-L3_ct.nii.gz", "g3-00001"),
        ("verse012_T12_ct.nii.gz", "verse012"),
        ("scan7.nrrd", "scan7"),
        ("sub-tss0328_ct.nii.gz", "sub-tss0328"),
        ("L3_ct.nii.gz", "L3"),
        ("ml5_ct.nii.gz", "ml5"),
    ],
)
def test_who_is_meant(name, person):
    assert person_of(name) == person


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = ["p0/L3_ct.nii.gz", "p1/L3_ct.nii.gz"]
    assert people_of(paths) == dict(zip(paths, ("p0", "p1"), strict=True))
    paths = ["a/p0-L3_ct.nii.gz", "a/p1-L3_ct.nii.gz", "b/p0-L4_ct.nii.gz"]
    assert list(people_of(paths).values()) == ["p0", "p1", "p0"]
