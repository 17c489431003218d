"""Initial weights: Keras's own distributions, and one seed gives one start whatever the backend."""

import keras
import numpy as np
import pytest

from acsgreg_tf.layers.initializers import GlorotUniform, HeNormal, Normal, Uniform

SHAPE = (3, 3, 3, 16, 24)
# Keras's own take their seed when they are made, and not from `set_random_seed`.
PAIRS = [
    (Normal(0.02), keras.initializers.RandomNormal(stddev=0.02, seed=0)),
    (Uniform(0.3), keras.initializers.RandomUniform(-0.3, 0.3, seed=0)),
    (HeNormal(), keras.initializers.HeNormal(seed=0)),
    (GlorotUniform(), keras.initializers.GlorotUniform(seed=0)),
]


def drawn(initializer, shape):
    return keras.ops.convert_to_numpy(initializer(shape))


@pytest.mark.parametrize("ours, theirs", PAIRS, ids=lambda i: type(i).__name__)
def test_they_are_spread_as_keras_own(ours, theirs):
    keras.utils.set_random_seed(0)
    result, expected = (drawn(i, SHAPE) for i in (ours, theirs))
    assert result.shape == SHAPE and result.dtype == np.float32
    places = np.linspace(0.02, 0.98, 13)
    np.testing.assert_allclose(np.quantile(result, places), np.quantile(expected, places), atol=0.1 * expected.std())
    np.testing.assert_allclose(np.abs(result).max(), np.abs(expected).max(), rtol=0.25)


def test_a_kernel_of_two_axes_has_the_same_rule():
    keras.utils.set_random_seed(0)
    result, expected = (drawn(i, (400, 50)) for i in (GlorotUniform(), keras.initializers.GlorotUniform(seed=0)))
    assert result.std() == pytest.approx(expected.std(), rel=0.03)


def test_one_seed_gives_one_start_on_every_backend():
    # Literal, so that each backend's run of this test compares with the same numbers.
    keras.utils.set_random_seed(3)
    np.testing.assert_allclose(drawn(Normal(1.0), (2, 2)), [[1.7886285, 0.43650985], [0.09649747, -1.8634927]])


@pytest.mark.parametrize("one", [ours for ours, _ in PAIRS], ids=lambda i: type(i).__name__)
def test_config_round_trip(one):
    again = keras.initializers.deserialize(keras.initializers.serialize(one))
    assert type(again) is type(one) and again.get_config() == one.get_config()
