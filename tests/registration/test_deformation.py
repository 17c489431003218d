"""The deformation of a pair: phi and its inverse by known answers, computed once, and the world transform."""

import numpy as np
import pytest

from acsgreg_tf import fields, metrics
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.registration.deformation import Deformation
from tests.registration.refine.cases import IDENTITY, LATTICE, SHAPE, known


def test_a_constant_velocity_is_a_shift():
    velocity = np.broadcast_to(np.float32((0.5, 0, -1)), (*LATTICE, 3))
    deformation = Deformation(IDENTITY, velocity, SHAPE)
    step = np.divide(np.subtract(SHAPE, 1), np.subtract(LATTICE, 1))  # full voxels in one of the velocity's
    np.testing.assert_allclose(deformation.phi, np.broadcast_to((0.5, 0, -1) * step, (*SHAPE, 3)), atol=1e-5)
    np.testing.assert_allclose(deformation.inverse, -deformation.phi, atol=1e-5)


def test_the_inverse_undoes_phi_better_than_exp_of_minus_v():
    velocity = known(1.5)[0]
    deformation = Deformation(IDENTITY, velocity, SHAPE)
    ours, plain = (
        metrics.inverse_consistency_error(deformation.phi, inverse, spacing=(1, 1, 1)).mean
        for inverse in (deformation.inverse, Deformation(IDENTITY, -velocity, SHAPE).phi)
    )
    assert ours < plain and ours < 0.02


def test_phi_and_its_inverse_are_computed_once(monkeypatch):
    integrated, integrate = [], fields.integrate

    def counted(velocity, steps):
        integrated.append(steps)
        return integrate(velocity, steps)

    deformation = Deformation(IDENTITY, known()[0], SHAPE, int_steps=5)
    monkeypatch.setattr(fields, "integrate", counted)
    assert not integrated
    grid = network_grid((0, 0, 0), SHAPE)
    for _ in range(2):
        deformation.world_transform(grid, grid)
        assert deformation.phi is deformation.phi and deformation.inverse is deformation.inverse
    assert integrated == [4, 4]  # v and -v; the last squaring lays the two parts together


@pytest.mark.parametrize("point", [(0, 0, 0), (3, -2, 1)])
def test_the_world_transform_is_phi_and_then_the_affine(point):
    affine = np.c_[np.diag([1.2, 1, 0.9]), (2, 0, -1)]
    velocity = np.broadcast_to(np.float32((1, 0, 0)), (*SHAPE, 3))
    fixed, moving = network_grid((10, 20, 30), SHAPE), network_grid((-5, 0, 5), SHAPE)
    transform = Deformation(affine, velocity, SHAPE).world_transform(fixed, moving)
    expected = affine[:, :3] @ np.add(point, (1, 0, 0)) + affine[:, 3] + moving.center
    np.testing.assert_allclose(transform.apply(fixed.center + point), expected, atol=1e-5)
    np.testing.assert_allclose(transform.inverse().apply(expected), fixed.center + point, atol=1e-5)
