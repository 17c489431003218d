"""Random changes of a vertebra: known answers one at a time, image and mask together, and never out of the box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.cohort.augment import Augment
from tests.explore import examples

SHAPE = (40, 36, 32)
STILL = dict.fromkeys(
    ["rotation", "translation", "scale", "anisotropy", "deformation", "gain", "gamma", "offset", "noise"], 0.0
)


def body(seed=0, half=(9, 7, 5), middle=(19.5, 17.5, 15.5)):
    """(image, label): an ellipsoid with smooth intensities."""
    at = np.moveaxis(np.indices(SHAPE), 0, -1) - middle
    label = np.linalg.norm(at / half, axis=-1) <= 1
    image = 0.5 + 0.02 * at[..., 0] + 0.01 * at[..., 1]
    return (image * label).astype(np.float16), label


def rng(seed=0):
    return np.random.default_rng(seed)


def middle_of(label):
    return np.argwhere(label).mean(axis=0)


def test_nothing_changes_nothing():
    image, label = body()
    result, mask = Augment(**STILL)(image, label, rng())
    assert result.dtype == np.float32 and mask.dtype == bool
    np.testing.assert_array_equal(mask, label)
    np.testing.assert_allclose(result, image, atol=1e-3)


def test_a_shift_moves_image_and_mask_alike():
    image, label = body()
    moves = []
    for seed in range(20):
        result, mask = Augment(**STILL | {"translation": 2.0})(image, label, rng(seed))
        move = middle_of(mask) - middle_of(label)
        moves.append(move)
        assert mask.sum() == pytest.approx(label.sum(), rel=0.05)
        # What stood in the middle stands in the moved middle.
        x, y, z = np.rint(middle_of(mask)).astype(int)
        assert result[x, y, z] == pytest.approx(0.5, abs=0.03)
    assert 1.0 < np.std(moves) < 2.5 and np.abs(moves).max() < 4.6


def test_a_turn_is_of_the_angle_drawn():
    image, label = body(half=(14, 5, 4))
    angles = []
    for seed in range(20):
        _, mask = Augment(**STILL | {"rotation": 10.0})(image, label, rng(seed))
        axis = np.linalg.svd(np.argwhere(mask) - middle_of(mask), full_matrices=False)[2][0]
        angles.append(np.degrees(np.arctan2(axis[1], axis[0]) % np.pi))
    angles = (np.array(angles) + 90) % 180 - 90  # the long axis about z
    assert 5 < angles.std() < 14 and np.abs(angles).max() < 26


def test_a_scale_changes_the_volume_as_it_says():
    image, label = body()
    drawn = [Augment(**STILL | {"scale": 0.08})(image, label, rng(s))[1].sum() / label.sum() for s in range(30)]
    assert 0.12 < np.std(np.log(drawn)) < 0.33  # three times 0.08


def test_a_deformation_moves_by_what_it_says_and_folds_nothing():
    image, label = body(half=(15, 13, 11))
    seen = []
    for seed in range(6):
        _, mask = Augment(**STILL | {"deformation": 1.0})(image, label, rng(seed))
        seen.append((mask != label).sum() / label.sum())
    assert 0.03 < np.mean(seen) < 0.4
    _, wild = Augment(**STILL | {"deformation": 50.0})(image, label, rng(1))
    assert 0.5 < wild.sum() / label.sum() < 1.5, "cut to what cannot fold"


def test_intensities_change_inside_only():
    image, label = body()
    for change in ({"gain": 0.2}, {"gamma": 0.3}, {"offset": 0.1}, {"noise": 0.1}):
        result, mask = Augment(**STILL | change)(image, label, rng(3))
        np.testing.assert_array_equal(mask, label)
        assert not result[~label].any() and result.min() >= 0 and result.max() <= 1
        assert np.abs(result - image)[label].mean() > 0.005, change
    result, _ = Augment(**STILL | {"gain": 0.2})(image, label, rng(3))
    ratio = result[label] / image[label].astype(float)
    assert ratio.std() < 0.002


def test_the_rim_is_bone_not_background():
    """Bone of 0.8 everywhere stays 0.8 up to its rim, however it is moved."""
    _, label = body()
    augment = Augment(**STILL | {"rotation": 8.0, "translation": 3.0, "scale": 0.1, "deformation": 1.0})
    result, mask = augment((0.8 * label).astype(np.float16), label, rng(1))
    np.testing.assert_allclose(result[mask], 0.8, atol=2e-3)


def test_without_a_label_the_image_is_its_own_mask():
    image, label = body()
    result, mask = Augment()(image, None, rng(5))
    expected, _ = Augment()(image, label, rng(5))
    assert mask is None
    np.testing.assert_array_equal(result, expected)
    assert not Augment()(np.zeros(SHAPE, np.float16), None, rng())[0].any()


@examples(40)
@given(
    seed=st.integers(0, 10**6),
    half=st.tuples(st.integers(4, 18), st.integers(4, 16), st.integers(4, 15)),
    strength=st.floats(0, 3),
)
def test_a_vertebra_stays_in_its_box(seed, half, strength):
    image, label = body(half=half)
    strong = Augment(rotation=4 * strength, translation=5 * strength, scale=0.05 * strength, deformation=strength)
    result, mask = strong(image, label, rng(seed))
    again, _ = strong(image, label, rng(seed))
    np.testing.assert_array_equal(result, again)
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1 and not result[~mask].any()
    assert 0.25 < mask.sum() / label.sum() < 4
    for axis in range(3):
        if half[axis] < SHAPE[axis] / 2 - 1:  # not the one that fills its box
            assert not mask.take((0, -1), axis).any()
