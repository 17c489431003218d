"""The trend: a flow that meets each pose, and the rigid motion that is nearest to all."""

import numpy as np

from acsgreg_tf.geometry import Affine
from acsgreg_tf.spine.polyaffine import fit_trend, rigid_of_all
from tests.spine.cases import rigid

POINTS = {f"L{n + 1}": np.random.default_rng(n).uniform(-15, 15, (300, 3)) + [0, 0, -35.0 * n] for n in range(4)}


def test_rigid_of_all_is_the_one_motion_that_all_share():
    motion = rigid((10, -5, 30), (50, 20, -10), (0, 0, 0))
    found = rigid_of_all([motion] * 4, list(POINTS.values()))
    np.testing.assert_allclose(found.matrix, motion.matrix, atol=1e-9)


def test_flow_meets_poses_that_change_gently_along_the_spine():
    motions = {
        level: rigid((4.0 * n, 0, 2.0 * n), (0.5 * n, n, 0), points.mean(axis=0))
        for n, (level, points) in enumerate(POINTS.items())
    }
    trend = fit_trend(motions, POINTS)
    for level, points in POINTS.items():
        there = trend.forward.apply(points)
        apart = np.linalg.norm(there - motions[level].apply(points), axis=1)
        moved = np.linalg.norm(motions[level].apply(points) - points, axis=1)
        assert apart.mean() < 0.5 and apart.mean() < 0.5 * max(moved.mean(), 0.5)


def test_nothing_moves_where_nothing_shall():
    trend = fit_trend({level: Affine(np.eye(4)) for level in POINTS}, POINTS)
    assert np.abs(trend.deformation.velocity).max() < 1e-4


def test_undo_is_the_inverse_of_the_flow():
    motions = {level: rigid((3.0 * n, 0, 0), (0, 0, 1), (0, 0, 0)) for n, level in enumerate(POINTS)}
    trend = fit_trend(motions, POINTS)
    for points in POINTS.values():
        np.testing.assert_allclose(trend.undo(trend.forward.apply(points)), points, atol=0.02)
