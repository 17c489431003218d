"""The written inverse: it undoes the transform between voxels too, and where it cannot, the velocity gets smoother."""

import numpy as np
import pytest
from scipy import ndimage

from acsgreg_tf.registration import inverse_error as module
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.folds import without_folds
from acsgreg_tf.registration.inverse_error import inverse_error, invertible
from tests.helpers import noise

SHAPE, LATTICE = (40, 36, 24), (20, 18, 12)
IDENTITY = np.eye(3, 4)


def bone():
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 10:26, 6:18] = True
    return mask


def squeezing(strength):
    """A velocity that presses the middle together and is zero at the faces."""
    velocity = ndimage.gaussian_filter(noise((*LATTICE, 3), strength), (1.2, 1.2, 1.2, 0))
    inner = np.zeros(LATTICE, "float32")
    inner[3:-3, 3:-3, 3:-3] = 1
    return (velocity * ndimage.gaussian_filter(inner, 1)[..., None]).astype("float32")


def test_a_shift_is_undone_without_a_miss():
    velocity = np.broadcast_to(np.float32((0.3, 0, -0.2)), (*LATTICE, 3))
    assert inverse_error(Deformation(IDENTITY, velocity, SHAPE), bone()).misses.max() < 1e-4


def test_misses_are_those_of_the_written_transform():
    from acsgreg_tf.geometry import network_grid

    deformation = without_folds(Deformation(IDENTITY, squeezing(6.0), SHAPE))
    places, misses = inverse_error(deformation, bone())
    grid = network_grid((3, 5, 7), SHAPE)
    transform = deformation.world_transform(grid, grid)
    points = grid.index_to_points(places)
    back = transform.inverse().apply(transform.apply(points))
    np.testing.assert_allclose(np.linalg.norm(back - points, axis=1), misses, atol=1e-3)
    assert misses.max() > 0.05


def test_two_parts_are_undone_better_than_one(monkeypatch):
    from acsgreg_tf.registration import deformation as parts

    misses = []
    for count in (1, 2):
        monkeypatch.setattr(parts, "PARTS", count)
        misses.append(inverse_error(Deformation(IDENTITY, squeezing(6.0), SHAPE), bone()).misses)
    assert np.quantile(misses[1], 0.99) < 0.85 * np.quantile(misses[0], 0.99)


def test_both_parts_together_are_what_the_lattice_integrates(monkeypatch):
    from acsgreg_tf.registration import deformation as parts

    two = Deformation(IDENTITY, squeezing(5.0), SHAPE).phi
    monkeypatch.setattr(parts, "PARTS", 1)
    one = Deformation(IDENTITY, squeezing(5.0), SHAPE).phi
    assert np.abs(one).max() > 1 and np.abs(two - one).max() < 0.05


def test_where_the_inverse_misses_too_far_the_velocity_is_smoothed(monkeypatch):
    steep = without_folds(Deformation(IDENTITY, squeezing(9.0), SHAPE))
    monkeypatch.setattr(module, "MOST", 0.2)
    assert inverse_error(steep, bone()).misses.max() > 0.2
    smooth = invertible(steep, bone())
    assert inverse_error(smooth, bone()).misses.max() <= 0.2
    assert np.linalg.norm(smooth.phi - steep.phi, axis=-1).mean() < 0.25 * np.linalg.norm(steep.phi, axis=-1).mean()


def test_a_gentle_deformation_is_left_as_it_is():
    gentle = Deformation(IDENTITY, squeezing(2.0), SHAPE)
    assert invertible(gentle, bone()) is gentle


@pytest.mark.parametrize("int_steps", [0, 1, 7])
def test_a_displacement_that_is_not_integrated_has_one_part(int_steps):
    deformation = Deformation(IDENTITY, squeezing(2.0), SHAPE, int_steps)
    assert deformation.parts == (2 if int_steps else 1)
    assert inverse_error(deformation, bone()).misses.max() < 0.5
