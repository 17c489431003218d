"""Whether a label looks like a vertebra and its image like CT: whole ones pass, broken ones are named."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.pieces import without_stray_pieces
from acsgreg_tf.anatomy.plausibility import hu_flags, shape_flags
from acsgreg_tf.synthesis.phantom import vertebra


@pytest.fixture(scope="module")
def masks():
    return [vertebra(seed, level) < 0 for seed, level in ((0, "L1"), (1, "L3"), (2, "L5"))]


def names(flags):
    return [flag.name for flag in flags]


def test_whole_vertebrae_raise_no_doubt(masks):
    for mask in masks:
        assert shape_flags(mask, "fixed", "x") == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda mask: mask[::2, ::2, ::2], "moving_volume"),
        (lambda mask: mask[:, :, 20:22], "moving_volume"),
        (lambda mask: np.repeat(np.repeat(np.repeat(mask, 2, 0), 2, 1), 2, 2), "moving_volume"),
        (lambda mask: mask & (np.arange(mask.shape[0])[:, None, None] < 64), "moving_extent"),
        (lambda mask: mask & (np.arange(mask.shape[1])[:, None] < 64), "moving_extent"),
        (lambda mask: mask[:, ::-1], "moving_backward"),
        (lambda mask: mask[::-1, ::-1], "moving_backward"),
    ],
    ids=["half spacing", "plate", "double spacing", "left half", "back half", "front to back", "turned half round"],
)
def test_what_is_no_lumbar_vertebra_is_named(masks, change, expected):
    for mask in masks:
        (flag, *_) = shape_flags(change(mask), "moving", "scan.nii.gz: label 22")
        assert flag.name == expected and flag.text.startswith("scan.nii.gz: label 22: ")


def test_bone_in_ct_raises_no_doubt_and_other_values_do(masks):
    mask = masks[1]
    ct = np.where(mask, 300.0, 40.0)
    assert hu_flags(ct, mask, "fixed", "ct") == []
    assert hu_flags(np.where(mask, ct, -1024), mask, "fixed", "masked crop") == []
    assert names(hu_flags(ct + 1024, mask, "fixed", "ct")) == ["fixed_hu"]
    assert names(hu_flags(np.where(mask, -300.0, -800.0), mask, "fixed", "ct")) == ["fixed_hu"]
    assert names(hu_flags(ct, np.roll(mask, 40, 0), "fixed", "label of another scan")) == ["fixed_contrast"]


def test_stray_voxels_are_left_out_and_large_pieces_stay():
    mask = np.zeros((40, 40, 40), bool)
    mask[5:25, 5:25, 5:25] = True
    assert without_stray_pieces(mask).mask is mask and without_stray_pieces(mask)[1:] == (0, 0, 0)
    broken = mask.copy()
    broken[28:38, 5:15, 5:15] = True
    stray = broken.copy()
    stray[0, 0, 0] = stray[35, 35, 30:34] = True
    cleaned = without_stray_pieces(stray)
    np.testing.assert_array_equal(cleaned.mask, broken)
    assert cleaned[1:] == (2, 5, 1)


def test_voxels_that_touch_at_a_corner_belong_together():
    mask = np.zeros((30, 30, 30), bool)
    mask[5:25, 5:25, 5:15] = True
    mask[25, 25, 15] = True
    assert without_stray_pieces(mask).voxels == 0
