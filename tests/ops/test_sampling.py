"""Sampling: known answers, scipy as the outside judge, and the hand-written gradients against automatic ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy import ndimage

from acsgreg_tf.ops import sampling
from acsgreg_tf.ops.fields import identity_grid
from acsgreg_tf.ops.sampling import sample
from tests.explore import examples
from tests.helpers import LARGE, SMALL, directional_derivative, dtype_of, gradients, is_no_gradient, noise


def everywhere(shape, points=200, reach=3.0, batch=1, seed=1):
    """Random points in and round a volume, [batch, points, N]."""
    low, high = -reach, np.array(shape) - 1 + reach
    return np.random.default_rng(seed).uniform(low, high, (batch, points, len(shape))).astype("float32")


@pytest.mark.parametrize("shape", [(7,), (6, 5), SMALL])
@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_the_voxels_own_places_give_the_volume(shape, method):
    volume = noise((1, *shape, 2))
    np.testing.assert_array_equal(sample(volume, identity_grid(shape), method), volume)


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_whole_voxel_shift(method):
    volume = noise((1, *SMALL, 1))
    result = np.array(sample(volume, identity_grid(SMALL) + np.float32([2, -1, 3]), method))
    np.testing.assert_array_equal(result[:, :-2, 1:, :-3], volume[:, 2:, :-1, 3:])


def test_half_way_is_the_mean():
    volume = np.float32([[1, 3], [5, 11]])[None, ..., None]
    points = np.float32([[[0.5, 0], [0, 0.5], [0.5, 0.5], [0.25, 0]]])
    np.testing.assert_array_equal(np.array(sample(volume, points))[0, :, 0], [3, 2, 5, 2])


def test_outside_takes_the_edge_or_the_fill_value():
    volume = np.float32([1, 2, 4])[None, :, None]
    points = np.float32([-1e9, -0.01, 0, 2, 2.01, 1e9])[None, :, None]
    for method in ("linear", "nearest"):
        np.testing.assert_array_equal(np.array(sample(volume, points, method)).ravel(), [1, 1, 1, 4, 4, 4])
        filled = np.array(sample(volume, points, method, fill_value=-7.0)).ravel()
        np.testing.assert_array_equal(filled, [-7, -7, 1, 4, -7, -7])


def test_a_place_that_is_no_number_gives_none_and_does_not_crash():
    volume, points = noise((1, *SMALL, 1)), everywhere(SMALL, 5)
    points[0, 2, 1] = np.nan
    for method in ("linear", "nearest"):
        value, (by_volume, _) = gradients(lambda v, p, m=method: sample(v, p, m), volume, points)
        assert np.isfinite(np.delete(value, 2, axis=1)).all()
        assert np.isnan(value[0, 2, 0]) or method == "nearest"
        assert by_volume.shape == volume.shape


def test_an_axis_of_one_voxel():
    volume = noise((1, 5, 1, 4, 1))
    points = np.float32([[[2, 0, 1.5], [2, 0.7, 1.5], [2, -3, 1.5]]])
    expected = (volume[0, 2, 0, 1, 0] + volume[0, 2, 0, 2, 0]) / 2
    np.testing.assert_allclose(np.array(sample(volume, points)).ravel(), [expected] * 3, rtol=1e-6)
    _, (by_volume, by_points) = gradients(sample, volume, points)
    np.testing.assert_allclose(by_points[..., 1], 0, atol=1e-6)
    np.testing.assert_allclose(by_volume[0, 2, 0, 1:3, 0], [3 * expected] * 2, rtol=1e-5)


@pytest.mark.parametrize("method, order", [("linear", 1), ("nearest", 0)])
@pytest.mark.parametrize("fill, mode", [(None, "nearest"), (0.5, "constant")])
@pytest.mark.parametrize("shape", [(12, 9), (10, 10, 8)])
def test_agrees_with_scipy(shape, method, order, fill, mode):
    volume, points = noise((2, *shape, 2)), everywhere(shape, batch=2)
    result = np.array(sample(volume, points, method, fill))
    for b in range(2):
        for c in range(2):
            at = points[b].T.astype(float)
            expected = ndimage.map_coordinates(volume[b, ..., c], at, order=order, mode=mode, cval=fill or 0)
            if fill is not None:  # scipy takes an edge voxel's outer half for inside when it looks for the nearest
                outside = ((at < 0) | (at > np.array(shape)[:, None] - 1)).any(0)
                expected[outside] = fill
            np.testing.assert_allclose(result[b, :, c], expected, atol=1e-5)


def test_labels_keep_their_dtype_and_values():
    labels = np.random.default_rng(0).integers(0, 25, (1, *SMALL, 1)).astype("int32")
    result = sample(labels, everywhere(SMALL), "nearest", fill_value=0)
    assert dtype_of(result) == "int32"
    assert set(np.unique(result)) <= set(np.unique(labels)) | {0}


@given(st.integers(0, 2**16), st.floats(-20, 20), st.floats(-20, 20), st.floats(-20, 20))
@examples(15)
def test_a_sample_lies_between_the_smallest_and_the_largest_voxel(seed, x, y, z):
    volume = noise((1, 4, 3, 5, 1), seed=seed)
    value = float(sample(volume, np.float32([[[x, y, z]]]))[0, 0, 0])
    assert volume.min() - 1e-5 <= value <= volume.max() + 1e-5


@given(st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4), st.integers(0, 2**16))
@examples(15)
def test_a_linear_image_is_sampled_exactly(coefficients, seed):
    shape = (6, 5, 7)
    *slope, offset = (np.float32(c) for c in coefficients)
    volume = (np.moveaxis(np.indices(shape), 0, -1) @ np.array(slope) + offset).astype("float32")[None, ..., None]
    points = everywhere(shape, 20, reach=0, seed=seed)
    np.testing.assert_allclose(np.array(sample(volume, points))[..., 0], points @ np.array(slope) + offset, atol=1e-4)


# === gradients ===


@pytest.mark.parametrize("shape", [(12, 9), SMALL, LARGE], ids=["2-D", "3-D", "3-D compiled"])
@pytest.mark.parametrize("fill", [None, 0.5])
def test_gradients_are_those_of_automatic_differentiation(shape, fill):
    volume, points = noise((2, *shape, 1)), everywhere(shape, 500, batch=2)
    expected, (by_volume, by_points) = gradients(lambda v, p: sampling.linear(v, p, fill_value=fill), volume, points)
    result, (volume_gradient, points_gradient) = gradients(lambda v, p: sample(v, p, fill_value=fill), volume, points)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(volume_gradient, by_volume, atol=2e-5)
    np.testing.assert_allclose(points_gradient, by_points, atol=2e-5)
    outside = ((points < 0) | (points > np.array(shape) - 1)).any(-1)
    assert outside.any() and (fill is None or np.all(points_gradient[outside] == 0))


def test_gradients_with_many_channels_and_both_axes_of_scatter():
    volume, points = noise((1, *SMALL, 3)), everywhere(SMALL, 400)
    _, expected = gradients(lambda v, p: sampling.linear(v, p, fill_value=None), volume, points)
    _, result = gradients(sample, volume, points)
    for got, want in zip(result, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5)


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["plain", "compiled"])
def test_a_constant_volume_gets_no_gradient_and_the_places_the_same(shape):
    volume, points = noise((2, *shape, 1)), everywhere(shape, 500, batch=2)
    plain, (_, expected) = gradients(sample, volume, points)
    value, (by_volume, by_points) = gradients(lambda v, p: sample(v, p, constant=True), volume, points)
    np.testing.assert_allclose(value, plain, atol=1e-6)
    assert is_no_gradient(by_volume)
    np.testing.assert_allclose(by_points, expected, atol=1e-5)


def test_gradients_against_differences():
    shape = SMALL
    # Away from the cells' faces, where the derivative jumps.
    random = np.random.default_rng(1)
    points = random.integers(1, 6, (1, 50, 3)) + random.uniform(0.2, 0.8, (1, 50, 3))
    points, volume = points.astype("float32"), noise((1, *shape, 1))
    _, (by_volume, by_points) = gradients(sample, volume, points)

    def loss(v, p):
        return np.sum(np.square(ops.convert_to_numpy(sample(v, p)).astype(float)))

    along = noise(points.shape, seed=3)
    slope = directional_derivative(lambda p: loss(volume, p), points, along)
    assert np.sum(by_points * along) == pytest.approx(slope, rel=1e-2)
    along = noise(volume.shape, seed=4)
    slope = directional_derivative(lambda v: loss(v, points), volume, along)
    assert np.sum(by_volume * along) == pytest.approx(slope, rel=1e-2)


def test_nearest_sends_the_gradient_to_the_voxel_that_was_taken():
    volume = np.float32([1, 2, 4])[None, :, None]
    points = np.float32([0.3, 1.4, 1.2])[None, :, None]
    _, (by_volume, by_points) = gradients(lambda v, p: sample(v, p, "nearest"), volume, points)
    np.testing.assert_array_equal(by_volume.ravel(), [2, 8, 0])
    assert is_no_gradient(by_points)


@pytest.mark.tensorflow
def test_a_batch_of_unknown_size(tf):
    @tf.function(input_signature=[tf.TensorSpec((None, *SMALL, 1)), tf.TensorSpec((None, 50, 3))])
    def run(volume, points):
        return sample(volume, points)

    for batch in (1, 2):
        volume, points = noise((batch, *SMALL, 1)), everywhere(SMALL, 50, batch=batch)
        np.testing.assert_allclose(run(volume, points), sample(volume, points), atol=1e-6)


def test_refusals():
    volume, points = noise((2, *SMALL, 1)), everywhere(SMALL, batch=1)
    with pytest.raises(ValueError, match="one batch size, got 2 and 1"):
        sample(volume, points)
    with pytest.raises(ValueError, match="'linear' or 'nearest', got 'cubic'"):
        sample(volume[:1], points, "cubic")
