"""Initial weights drawn by numpy: one seed gives one start on every backend, and JAX has no program to compile for each shape.

The seed is that of `keras.utils.set_random_seed`, which seeds numpy too.
"""

import math

import keras
import numpy as np
from keras import ops
from scipy.special import ndtr, ndtri

PACKAGE = "acsgreg_tf"


class _Drawn(keras.initializers.Initializer):
    """Of independent numbers; a subclass says how they are spread."""

    def __call__(self, shape, dtype=None):
        return ops.convert_to_tensor(self.draw(tuple(shape)).astype("float32"), dtype=dtype)

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable(PACKAGE)
class Normal(_Drawn):
    """Normal round 0."""

    def __init__(self, stddev):
        self.stddev = stddev

    def draw(self, shape):
        return np.random.normal(0.0, self.stddev, shape)

    def get_config(self):
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable(PACKAGE)
class Uniform(_Drawn):
    """Uniform from -limit to limit."""

    def __init__(self, limit):
        self.limit = limit

    def draw(self, shape):
        return np.random.uniform(-self.limit, self.limit, shape)

    def get_config(self):
        return {"limit": self.limit}


@keras.saving.register_keras_serializable(PACKAGE)
class HeNormal(_Drawn):
    """Normal cut off at two standard deviations, variance 2 / inputs (He et al. 2015); keras's `he_normal`."""

    def draw(self, shape):
        # Without its tails a normal distribution has 0.8796 of its standard deviation.
        stddev = math.sqrt(2.0 / math.prod(shape[:-1])) / 0.87962566103423978
        return stddev * ndtri(np.random.uniform(ndtr(-2.0), ndtr(2.0), shape))


@keras.saving.register_keras_serializable(PACKAGE)
class GlorotUniform(_Drawn):
    """Uniform, variance 2 / (inputs + outputs) (Glorot and Bengio 2010); keras's `glorot_uniform`."""

    def draw(self, shape):
        window = math.prod(shape[:-2])
        limit = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
        return np.random.uniform(-limit, limit, shape)
