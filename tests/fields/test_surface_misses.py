"""Many surfaces' misses through the joint warp: known values, and gradients of differences."""

import numpy as np
import pytest

from acsgreg_tf import fields
from acsgreg_tf.fields.surface_misses import surface_misses
from tests.fields.test_gradients import difference
from tests.helpers import SMALL, noise

IDENTITY = np.eye(3, 4)
STILL = np.zeros((*SMALL, 3), "float32")
ONES = np.ones(SMALL, "float32")


def test_surfaces_against_themselves_miss_by_nothing():
    distances = noise((*SMALL, 3))
    value, by_affine, by_field = surface_misses(distances, distances, np.ones(3), ONES, IDENTITY, STILL)
    assert value == pytest.approx(0, abs=1e-9) and np.abs(by_affine).max() < 1e-6 and np.abs(by_field).max() < 1e-6


def test_a_known_miss_counts_by_its_surfaces_weight_and_its_voxels_count():
    """Planes across x, one of which lies 2 voxels farther: sqrt(1/4 + 4) - 1/2 a voxel."""
    along = np.broadcast_to(np.arange(SMALL[0], dtype="float32")[:, None, None], SMALL)
    fixed, moving = np.stack([along, along], axis=-1), np.stack([along + 2, along], axis=-1)
    counts = ONES.copy()
    counts[:, :, 0] = 0
    value, _, by_field = surface_misses(moving, fixed, np.array([3.0, 5.0]), counts, IDENTITY, STILL)
    assert value == pytest.approx(3 * (np.sqrt(4.25) - 0.5) * counts.sum(), rel=1e-5)
    assert not by_field[:, :, 0].any() and not by_field[..., 1:].any()
    np.testing.assert_allclose(by_field[1:-1, :, 1:, 0], 3 * 2 / np.sqrt(4.25), rtol=1e-5)


def test_value_and_gradients_are_those_of_the_joint_warp():
    moving, displacement = noise((*SMALL, 4)), noise((6, 7, 5, 3), 1.5, seed=1)
    fixed, weights = noise((6, 7, 5, 4), seed=4), np.array([1.0, 0.5, 0.0, 2.0])
    counts = np.abs(noise((6, 7, 5), seed=5))
    affine = IDENTITY + noise((3, 4), 0.1, seed=2) * [1, 1, 1, 10]

    def total(a, u):
        miss = fields.warp_jointly(moving, a, u).astype(float) - fixed
        return float((counts[..., None] * weights * (np.sqrt(0.25 + miss**2) - 0.5)).sum())

    value, by_affine, by_displacement = surface_misses(moving, fixed, weights, counts, affine, displacement)
    assert value == pytest.approx(total(affine, displacement), rel=1e-5)
    for seed in range(3):
        turn, step = noise((3, 4), seed=seed) * [0.1, 0.1, 0.1, 1], noise(displacement.shape, seed=seed)
        expected = difference(lambda a: total(a, displacement), affine, turn)
        assert np.vdot(by_affine, turn) == pytest.approx(expected, rel=0.05, abs=0.2)
        expected = difference(lambda u: total(affine, u), displacement.astype(float), step)
        assert np.vdot(by_displacement, step) == pytest.approx(expected, rel=0.05, abs=0.2)
