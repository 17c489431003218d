"""The inverse of a displacement, corrected and balanced."""

import numpy as np
import pytest

from acsgreg_tf import fields
from tests.helpers import LARGE, SMALL, noise, smooth_field

LATTICE, SHAPE = (12, 12, 8), (24, 24, 16)
INNER = (slice(3, -3),) * 3  # at the border phi leaves the grid


def misses(displacement, inverse):
    """|phi(psi(y)) - y| at every voxel."""
    return np.linalg.norm(fields.compose(displacement, inverse), axis=-1)


@pytest.fixture(params=[SHAPE, LARGE])
def pair(request):
    """exp(v) and exp(-v), integrated on a lattice and resized, so that they are each other's inverse nearly."""
    velocity = smooth_field(LATTICE, 1.2, sigma=1.5, seed=2)[0]
    places = [fields.spread_over(old, new) for old, new in zip(LATTICE, request.param, strict=True)]
    scale = np.float32([(new - 1) / (old - 1) for old, new in zip(LATTICE, request.param, strict=True)])
    return [fields.resize(fields.integrate(sign * velocity), places) * scale for sign in (1, -1)]


def test_a_corrected_inverse_inverts(pair):
    phi, exp_minus = pair
    corrected = fields.correct_inverse(exp_minus, phi)
    before, after = misses(phi, exp_minus), misses(phi, corrected)
    assert np.abs(phi).max() > 1.5 and before.max() > 0.05
    assert after.max() < 1e-2 and np.all(after <= before + 1e-5)


def test_a_balanced_inverse_inverts_between_its_voxels_too(pair):
    phi, exp_minus = pair
    corrected = fields.correct_inverse(exp_minus, phi)
    balanced = fields.balance_inverse(corrected, phi)
    before, after = (misses(inverse, phi)[INNER].mean() for inverse in (corrected, balanced))
    assert after < 0.7 * before
    assert misses(phi, balanced)[INNER].mean() < before


@pytest.mark.parametrize("improve", [fields.correct_inverse, fields.balance_inverse])
def test_what_inverts_already_is_left(improve):
    nothing = np.zeros((*SMALL, 3), "float32")
    np.testing.assert_array_equal(improve(nothing, nothing), nothing)
    shift = nothing + np.float32([1, -2, 0.5])
    np.testing.assert_allclose(improve(-shift, shift), -shift, atol=1e-6)


def test_the_inverse_of_a_field_that_folds_stays_where_it_was():
    mirror = (-2 * np.moveaxis(np.indices(SMALL), 0, -1) * [1, 0, 0]).astype("float32")
    np.testing.assert_array_equal(fields.correct_inverse(0 * mirror, mirror), 0 * mirror)
    phi, guess = noise((*SMALL, 3), 2.0), noise((*SMALL, 3), 0.5, seed=1)
    result = fields.correct_inverse(guess, phi)
    assert np.linalg.norm(result - guess, axis=-1).max() < 3 + 1e-4  # a voxel a step
    assert np.all(misses(phi, result) <= misses(phi, guess) + 1e-5)
