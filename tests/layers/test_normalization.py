"""Instance normalisation: against double precision, and Keras's own layer."""

import keras
import numpy as np

from acsgreg_tf.layers.normalization import InstanceNormalization
from tests.helpers import noise
from tests.keras_cases import check_layer


def masked(shape):
    """Few voxels that are not zero, as after a convolution of a masked vertebra."""
    random = np.random.default_rng(0)
    return (np.maximum(noise(shape), 0) * (random.random((*shape[:-1], 1)) < 0.1)).astype("float32")


def test_agrees_with_double_precision():
    # Keras's GroupNormalization on TensorFlow is off by 2e-3 here.
    x = masked((1, 64, 64, 32, 4))
    wide = x.astype(float)
    mean, variance = (f(wide, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
    np.testing.assert_allclose(InstanceNormalization()(x), (wide - mean) / np.sqrt(variance + 1e-3), atol=2e-5)


def test_agrees_with_keras_and_has_its_weights():
    x = noise((2, 8, 6, 4, 3), 2.0) + 1
    ours, theirs = InstanceNormalization(), keras.layers.GroupNormalization(groups=-1)
    ours.build(x.shape), theirs.build(x.shape)
    weights = [noise((3,), seed=1), noise((3,), seed=2)]
    ours.set_weights(weights), theirs.set_weights(weights)
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_it_is_a_good_layer():
    check_layer(InstanceNormalization, noise((2, 8, 6, 4, 3)))
    check_layer(lambda: InstanceNormalization(scale=False, epsilon=0.1), noise((2, 7, 5, 3)))
