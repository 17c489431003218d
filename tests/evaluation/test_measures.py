"""The measures of an outcome whose numbers are known by hand."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import NUMBERS, measure
from acsgreg_tf.evaluation.measures import anatomy
from acsgreg_tf.evaluation.written import written_folds
from acsgreg_tf.geometry import Affine, DenseField, network_grid
from tests.evaluation.cases import SIDE, cube, cube_outcome


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


def test_parts_and_landmarks_are_needed_on_both_sides_or_on_none():
    files = {"fixed": "f", "moving": "m"}
    assert anatomy(files, {}) == {}
    for one in ({"fixed_parts": "a"}, {"moving_parts": "a", "fixed_parts": ""}, {"moving_points": "a"}):
        with pytest.raises(InputError, match="f, m: (parts|points) are needed on both sides"):
            anatomy(files | one, {})


def test_the_networks_own_affine_and_field_have_columns_of_their_own():
    outcome = cube_outcome(network_folds_count=69)
    row = measure(cube_outcome(labels={**outcome.labels, "network_affine": cube(3)}, network_folds_count=69))
    assert row["dice_network_affine"] == pytest.approx((SIDE - 3) / SIDE)
    assert row["network_folds_percent"] == pytest.approx(100 * 69 / (23 * 15 * 15))
    assert np.isnan(measure(outcome)["dice_network_affine"]) and np.isnan(row["written_folds_count"])


def test_folds_of_the_inverse_are_counted_about_the_moving_box():
    """A transform that folds nowhere, beside an inverse that tears where its field ends."""
    box, moving_box = network_grid((0, 0, 0), (24, 16, 16)), network_grid((40, 0, 0), (24, 16, 16))
    torn = DenseField(np.full((*box.shape, 3), (3.0, 0, 0), np.float32), moving_box)
    transforms = {"deformable": Affine(np.eye(4))}
    row = measure(cube_outcome(box=box, transforms=transforms, inverse=torn, moving_box=moving_box))
    assert row["written_folds_count"] == 0 and row["inverse_folds_count"] > 0
    assert row["inverse_folds_count"] == written_folds(torn, moving_box).count
    without = measure(cube_outcome(box=box, transforms=transforms, moving_box=moving_box))
    assert without["written_folds_count"] == 0 and np.isnan(without["inverse_folds_count"])


def test_what_the_method_knows_itself_is_handed_on():
    row = measure(cube_outcome(inverse_error_mm=0.25, inverse_error_max_mm=0.9, network_folds_count=7))
    assert row["inverse_error_mm"] == 0.25 and row["inverse_error_max_mm"] == 0.9 and row["network_folds_count"] == 7
