"""Points through a chain of maps in one pass."""

import numpy as np

from acsgreg_tf import fields
from acsgreg_tf.geometry.grid import FACE


def test_a_chain_is_its_maps_one_after_the_other():
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 14, (500, 3))
    turn = np.array([[0.0, -1, 0, 9], [1, 0, 0, 0.5], [0, 0, 1, -1]])
    half = np.array([[0.5, 0, 0, 1.0], [0, 0.5, 0, 1], [0, 0, 0.5, 1]])
    fields_ = [rng.normal(0, 0.6, (7, 8, 9, 3)).astype(np.float32) for _ in range(2)]
    steps = [(half, fields_[0]), (turn, None), (np.eye(3, 4), fields_[1])]
    wanted = fields.displace(points, half, fields_[0], FACE)
    wanted = wanted @ turn[:, :3].T + turn[:, 3]
    wanted = fields.displace(wanted, np.eye(3, 4), fields_[1], FACE)
    moved = fields.through(points, steps, FACE)
    np.testing.assert_allclose(moved, wanted, atol=1e-6)
    assert np.abs(moved - points).max() > 1
    np.testing.assert_array_equal(fields.through(points, [], FACE), points)
