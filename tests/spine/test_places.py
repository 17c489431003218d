"""Voxels near places, and values spread to voxels, by plain numpy."""

import numpy as np
import pytest

from acsgreg_tf.spine.places import Spread, corners_of, near_mask, near_voxels

SHAPE = (9, 10, 11)


@pytest.mark.parametrize("reach", [1, 3])
def test_near_voxels_are_those_within_reach(reach):
    places = np.random.default_rng(0).uniform(-2, 12, (6, 3))
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    inside = np.rint(places)[((np.rint(places) >= 0) & (np.rint(places) < SHAPE)).all(axis=1)]
    square = ((index[..., None, :] - inside) ** 2).sum(axis=-1).min(axis=-1)
    wanted = square <= reach**2 + 1
    np.testing.assert_array_equal(near_mask(places, reach, SHAPE), wanted)
    voxels = near_voxels(places, reach, SHAPE)
    np.testing.assert_array_equal(np.sort(voxels), np.flatnonzero(wanted))


def test_corners_are_those_of_the_cells():
    places = np.array([[1.5, 2.0, 3.9], [8.0, 9.0, 10.0]])
    voxels, corners = corners_of(places, SHAPE)
    first = np.stack(np.unravel_index(voxels[corners[0]], SHAPE), axis=-1)
    np.testing.assert_array_equal(first[[0, 1, 7]], [[1, 2, 3], [1, 2, 4], [2, 3, 4]])
    # A place on the last voxel lies in the last cell.
    assert np.stack(np.unravel_index(voxels[corners[1]], SHAPE), axis=-1).max(axis=0).tolist() == [8, 9, 10]


def test_a_value_on_the_last_voxel_goes_there():
    field = np.zeros((*SHAPE, 3))
    Spread(np.array([[8.0, 9.0, 10.0]]), SHAPE).add(field, np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(field[8, 9, 10], [1, 2, 3])
    assert np.count_nonzero(field) == 3


def test_values_go_to_the_voxels_beside_them():
    field = np.zeros((*SHAPE, 3))
    Spread(np.array([[2.0, 3.0, 4.25]]), SHAPE).add(field, np.array([[1.0, -2.0, 0.0]]))
    # Weighted means: one place alone gives its whole value, but for voxels with a weight under 0.3.
    np.testing.assert_allclose(field[2, 3, 4], [1, -2, 0])
    np.testing.assert_allclose(field[2, 3, 5], np.array([1, -2, 0]) * 0.25 / 0.3)
    assert np.count_nonzero(field.any(axis=-1)) == 2
