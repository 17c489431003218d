"""The Jacobian map and changes of volume, of transforms whose change is known."""

import numpy as np
import pytest

from acsgreg_tf.geometry import Affine, Grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.spine import log_jacobian, volume_changes
from tests.spine.cases import box_grid, rigid


def test_a_stretch_is_its_logarithm_on_any_grid():
    stretch = Affine(np.diag([1.1, 1.2, 0.9, 1.0]))
    turned = rigid((10, 20, 30), (5, 5, 5), (0, 0, 0)).matrix @ np.diag([0.7, -1.3, 2.0, 1.0])
    for grid in (box_grid(), Grid((9, 8, 7), turned)):
        np.testing.assert_allclose(log_jacobian(stretch, grid), np.log(1.1 * 1.2 * 0.9), atol=1e-5)


def test_a_rigid_motion_changes_nothing():
    assert np.abs(log_jacobian(rigid((5, 6, 7), (9, 9, 9), (0, 0, 0)), box_grid())).max() < 1e-5


def test_volume_changes_go_by_level_and_part():
    grid = box_grid()
    logs = np.zeros(grid.shape, np.float32)
    logs[:10] = np.log(1.5)
    parts = np.zeros(grid.shape, np.uint8)
    parts[:10], parts[10:] = 41, 49
    masks = {"L1": np.ones(grid.shape, bool), "L2": np.arange(20)[:, None, None] < 10 + np.zeros(grid.shape)}
    changes = volume_changes(logs, grid, masks, Image(parts, grid, "parts"))
    assert changes["L1"] == pytest.approx({"whole": 25.0, "arch": 50.0, "body": 0.0}, abs=1e-4)
    assert changes["L2"] == pytest.approx({"whole": 50.0, "arch": 50.0}, abs=1e-4)
    assert volume_changes(logs, grid, masks)["L1"] == pytest.approx({"whole": 25.0}, abs=1e-4)
