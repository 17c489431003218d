"""A vertebra's own axes: of phantoms, as they stand and turned by a known rotation."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from acsgreg_tf.anatomy.axes import axes_of
from acsgreg_tf.geometry import Affine, network_grid, resample
from acsgreg_tf.synthesis.phantom import vertebra


def share_of(sdf):
    return np.clip(0.5 - sdf, 0, 1).astype(np.float32)


def degrees(a, b):
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=0), -1, 1)))


@pytest.fixture(scope="module")
def upright():
    sdf = np.ascontiguousarray(vertebra(5, "L3"))
    grid = network_grid((3.0, -2, 1), sdf.shape)
    return sdf, grid, axes_of(share_of(sdf), grid)


def test_they_are_orthogonal_and_point_right_forward_and_up(upright):
    matrix = upright[2].matrix
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert (np.diag(matrix) > 0.85).all()


def test_the_centre_lies_in_the_body(upright):
    sdf, grid, axes = upright
    index = tuple(np.rint(grid.points_to_index(axes.centre)).astype(int))
    assert sdf[index] < -8
    assert axes.centre[1] > grid.index_to_points(np.argwhere(sdf < 0)).mean(axis=0)[1]


@pytest.mark.parametrize("angles", [(15, 0, 0), (0, 12, 0), (0, 0, -18), (10, -8, 12)])
def test_they_turn_with_the_vertebra(upright, angles):
    sdf, grid, axes = upright
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    turn[:3, 3] = grid.center - turn[:3, :3] @ grid.center
    turned = resample(-sdf, grid, grid, Affine(np.linalg.inv(turn)), fill=-50.0)
    found = axes_of(share_of(-turned), grid)
    assert degrees(found.matrix, turn[:3, :3] @ axes.matrix).max() < 2.0
    assert np.linalg.norm(found.centre - Affine(turn).apply(axes.centre)) < 1.5
