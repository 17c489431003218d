"""Sums over windows, against scipy and against automatic differentiation."""

import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from acsgreg_tf.ops.windows import box_sum
from tests.helpers import LARGE, SMALL, gradients, noise


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("shape", [(13, 6), SMALL], ids=["2-D", "3-D"])
def test_agrees_with_scipys_uniform_filter(shape, window):
    values = noise((2, *shape, 2))
    size = (1, *[window] * len(shape), 1)
    expected = ndimage.uniform_filter(values.astype(float), size, mode="constant") * window ** len(shape)
    np.testing.assert_allclose(box_sum(values, window), expected, atol=1e-4)


def test_agrees_with_scipy_when_compiled():
    values = noise((1, *LARGE, 1))
    expected = ndimage.uniform_filter(values.astype(float), (1, 9, 9, 9, 1), mode="constant") * 9**3
    np.testing.assert_allclose(box_sum(values, 9), expected, atol=1e-3)


def test_sums_of_ones_count_the_voxels_of_the_window_that_lie_inside():
    counts = np.array(box_sum(np.ones((1, 6, 6, 6, 1), "float32"), 3))[0, ..., 0]
    assert counts[0, 0, 0] == 8 and counts[0, 0, 2] == 12 and counts[0, 2, 2] == 18 and counts[2, 3, 4] == 27


def test_a_window_wider_than_the_volume_sums_it_all():
    values = noise((1, 3, 4, 2, 1))
    np.testing.assert_allclose(box_sum(values, 9), np.full_like(values, values.sum()), atol=1e-5)


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["plain", "compiled"])
def test_gradient_is_that_of_automatic_differentiation(shape):
    values = noise((1, *shape, 1))

    def plain(x):
        for axis, side in enumerate(shape, start=1):
            padded = ops.pad(x, [(2, 2) if a == axis else (0, 0) for a in range(5)])
            x = sum(ops.take(padded, range(i, i + side), axis=axis) for i in range(5))
        return x

    _, (expected,) = gradients(plain, values)
    _, (result,) = gradients(lambda x: box_sum(x, 5), values)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=2e-2)


@pytest.mark.parametrize("window", [0, 2, -3])
def test_even_and_empty_windows_are_refused(window):
    with pytest.raises(ValueError, match=f"odd and positive, got {window}"):
        box_sum(noise((1, *SMALL, 1)), window)
