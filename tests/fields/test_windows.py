"""Sums over windows and local correlation: scipy and the loss as judges, and the gradient by differences."""

import numpy as np
import pytest
from scipy.ndimage import convolve

from acsgreg_tf.fields.windows import box_sum, correlation, correlation_gradient
from acsgreg_tf.losses import local_correlation
from tests.helpers import noise

SHAPE = (11, 9, 8)


@pytest.mark.parametrize("window", [1, 3, 7])
@pytest.mark.parametrize("shape", [SHAPE, (3, 2, 4)])
def test_sums_are_those_of_a_convolution(shape, window):
    values = noise(shape)
    expected = convolve(values.astype(float), np.ones((window,) * 3), mode="constant")
    np.testing.assert_allclose(box_sum(values, window), expected, atol=1e-4)


def test_correlation_is_the_losss():
    fixed, warped = noise(SHAPE), noise(SHAPE, seed=1)
    warped[:, :, 5:], fixed[:4] = 0, 0
    expected = np.array(local_correlation(fixed[None, ..., None], warped[None, ..., None], 5))[0, ..., 0]
    np.testing.assert_allclose(correlation(fixed, warped, 5), expected, atol=1e-4)


def test_an_image_matches_itself_up_to_scale_and_shift():
    image = noise(SHAPE)
    np.testing.assert_allclose(correlation(image, -2 * image + 1, 5)[3:-3, 3:-3, 3:-3], 1, atol=1e-3)


def test_the_gradient_is_that_of_differences():
    fixed, warped, counts = noise(SHAPE), noise(SHAPE, seed=1), np.abs(noise(SHAPE, seed=2))
    sums = box_sum(fixed, 5), box_sum(fixed**2, 5)
    value, gradient = correlation_gradient(fixed, warped, counts, 5, sums)
    assert value == pytest.approx((counts * correlation(fixed, warped, 5)).sum(), rel=1e-4)
    for seed in (3, 4):
        step = noise(SHAPE, 1e-2, seed)
        ahead, behind = (correlation_gradient(fixed, warped + s * step, counts, 5, sums)[0] for s in (1, -1))
        assert np.vdot(gradient, step) == pytest.approx((ahead - behind) / 2, rel=0.02, abs=1e-3)
