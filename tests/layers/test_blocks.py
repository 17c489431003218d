"""ConvBlock: its parts in the paper's order, each option's effect, and the habits of a layer."""

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import ConvBlock
from tests.helpers import dtype_of, noise, policy
from tests.keras_cases import check_layer

SHAPE = (8, 6, 4)


@pytest.mark.parametrize("normalization", ["batch", "instance", "none"])
@pytest.mark.parametrize("strides", [1, 2])
def test_it_is_a_good_layer(strides, normalization):
    check_layer(lambda: ConvBlock(5, strides, normalization), noise((2, *SHAPE, 3)))


@pytest.mark.parametrize("strides, shape", [(1, (8, 6, 4)), (2, (4, 3, 2))])
def test_strides_divide_each_side(strides, shape):
    assert ConvBlock(5, strides)(noise((2, *SHAPE, 3))).shape == (2, *shape, 5)


def test_without_normalization_it_is_a_convolution_and_a_leaky_relu():
    x = noise((1, *SHAPE, 2))
    block = ConvBlock(3, normalization="none", slope=0.25)
    result = np.array(block(x))
    straight = np.array(keras.ops.conv(x, *block.conv.weights[:1], padding="same") + block.conv.bias)
    np.testing.assert_allclose(result, np.where(straight > 0, straight, 0.25 * straight), atol=1e-5)


def test_batch_normalization_uses_the_batch_in_training_only():
    x = noise((2, *SHAPE, 2), 5.0) + 3
    block = ConvBlock(4, slope=1.0)  # no bend, so that the statistics can be seen
    trained = np.array(block(x, training=True))
    np.testing.assert_allclose(trained.mean((0, 1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(trained.std((0, 1, 2, 3)), 1, atol=1e-2)
    assert np.abs(np.array(block(x, training=False)).std((0, 1, 2, 3)) - 1).max() > 0.1


def test_instance_normalization_looks_at_one_image_at_a_time():
    x = noise((2, *SHAPE, 2), 5.0) + 3
    block = ConvBlock(4, normalization="instance", slope=1.0)
    together = np.array(block(x))
    np.testing.assert_allclose(together.mean((1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(block(x[:1]), together[:1], atol=1e-5)


def test_a_blocks_own_dtype_reaches_its_parts():
    with policy("mixed_bfloat16"):
        assert dtype_of(ConvBlock(3, dtype="float32")(noise((1, *SHAPE, 2)))) == "float32"
    half = ConvBlock(3, dtype="mixed_bfloat16")
    assert dtype_of(half(noise((1, *SHAPE, 2)))) == "bfloat16"
    assert half.conv.compute_dtype == "bfloat16" and half.conv.kernel.dtype == "float32"


def test_an_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match=r"normalization must be one of .*got 'layer'"):
        ConvBlock(3, normalization="layer")
