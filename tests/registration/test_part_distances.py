"""Distances to parts on the network's grid, from maps on grids of their own."""

import numpy as np
import pytest

from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.part_distances import REACH, part_distances
from tests.registration.cases import grid_about

GRID = grid_about((5, -3, 2), (30, 28, 26), 1)


def parts_map(grid):
    """Two balls of 6 mm: a body of border and inside, and an arch behind it."""
    points = grid.points() - (5, -3, 2)
    body, arch = (np.linalg.norm(points - (0, y, 0), axis=-1) for y in (5, -8))
    data = np.where(body < 6, np.where(body < 4, 50, 49), 0)
    return Image(np.where(arch < 5, 41, data).astype(np.uint8), grid, "parts")


@pytest.mark.parametrize(
    "grid",
    [GRID, grid_about((4, -2, 3), (60, 70, 60), 0.7, (0.2, 0.1, -0.3))],
    ids=["the same grid", "fine and oblique"],
)
def test_distances_are_those_to_the_parts_surfaces(grid):
    distances = part_distances(parts_map(grid), GRID)
    assert set(distances) == {"arch", "body"}
    points = GRID.points() - (5, -3, 2)
    for name, y, radius in (("body", 5, 6), ("arch", -8, 5)):
        expected = np.clip(np.linalg.norm(points - (0, y, 0), axis=-1) - radius, -REACH, REACH)
        assert distances[name].shape == GRID.shape and distances[name].dtype == np.float32
        assert np.abs(distances[name] - expected).max() < 0.9
        assert np.abs(distances[name] - expected)[np.abs(expected) < 1].mean() < 0.3


def test_what_lies_outside_and_a_single_voxel_are_left_out():
    data = parts_map(GRID).data.copy()
    data[2, 2, 2] = 42
    assert "spinous" not in part_distances(Image(data, GRID, "parts"), GRID)
    far = Grid(GRID.shape, GRID.affine + [[0, 0, 0, 500], [0] * 4, [0] * 4, [0] * 4])
    assert part_distances(parts_map(GRID), far) == {}
