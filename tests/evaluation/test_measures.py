"""The measures of an outcome whose numbers are known by hand."""

import numpy as np
import pytest

from acsgreg_tf.evaluation import NUMBERS, measure
from tests.evaluation.cases import SIDE, cube_outcome


def test_two_cubes():
    """They share SIDE - shift layers; the surfaces that miss each other do so by `shift` voxels of 2 mm."""
    row = measure(cube_outcome())
    assert tuple(row) == NUMBERS
    for stage, shift in (("before", 4), ("affine", 2), ("deformable", 0)):
        for name in ("dice", "precision", "recall"):
            assert row[f"{name}_{stage}"] == pytest.approx((SIDE - shift) / SIDE)
        assert row[f"hd95_mm_{stage}"] == pytest.approx(2 * shift)
    assert row["assd_mm_before"] > row["assd_mm_affine"] > row["assd_mm_deformable"] == 0
    assert row["seconds"] == 1.5 and np.isnan(row["inverse_error_mm"]) and np.isnan(row["network_folds_count"])


def test_precision_and_recall_are_not_mixed_up():
    outcome = cube_outcome()
    half = outcome.fixed_label.copy()
    half[:9] = False  # half of the fixed cube, and nothing beside it
    row = measure(cube_outcome(labels={**outcome.labels, "deformable": half}))
    assert row["precision_deformable"] == 1 and row["recall_deformable"] == 0.5


def test_folds_of_a_mirrored_and_of_a_stretched_field():
    x = np.arange(24, dtype=np.float32)[:, None, None, None] * np.ones((24, 16, 16, 1), np.float32)
    still = np.zeros((24, 16, 16, 2), np.float32)
    mirrored = measure(cube_outcome(displacement=np.concatenate([-2 * x, still], -1)))  # x to -x: determinant -1
    assert mirrored["folds_percent"] == mirrored["central_folds_percent"] == 100
    assert mirrored["folds_count"] == 23 * 15 * 15 and mirrored["folded_volume_percent"] > 99
    stretched = measure(cube_outcome(displacement=np.concatenate([x, still], -1)))  # determinant 2
    assert stretched["folds_count"] == stretched["folded_volume_percent"] == 0
    assert stretched["std_log_jacobian"] == pytest.approx(0, abs=1e-6)


def test_what_the_method_knows_itself_is_handed_on():
    row = measure(cube_outcome(inverse_error_mm=0.25, network_folds_count=7))
    assert row["inverse_error_mm"] == 0.25 and row["network_folds_count"] == 7
