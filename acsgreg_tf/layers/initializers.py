"""Initial weights drawn by numpy, so that one seed is one start on every backend.

Keras's own initialisers draw by the backend, each by another generator, even with one seed; JAX compiles a program for
each shape besides. The seed is that of `keras.utils.set_random_seed`, which seeds numpy too.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import ndtr, ndtri

from acsgreg_tf.ops import PACKAGE, Tensor


class _Drawn(keras.initializers.Initializer):
    """Base of i.i.d. initialisers; a subclass draws from its distribution."""

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        return ops.convert_to_tensor(self.draw(tuple(shape)).astype("float32"), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {}


@keras.saving.register_keras_serializable(PACKAGE)
class Normal(_Drawn):
    """Normal distribution of mean 0."""

    def __init__(self, stddev: float) -> None:
        self.stddev = stddev

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        return np.random.normal(0.0, self.stddev, shape)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable(PACKAGE)
class Uniform(_Drawn):
    """Uniform distribution from -limit to limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        return np.random.uniform(-self.limit, self.limit, shape)

    def get_config(self) -> dict[str, Any]:
        return {"limit": self.limit}


@keras.saving.register_keras_serializable(PACKAGE)
class HeNormal(_Drawn):
    """Normal cut off at two standard deviations, variance 2 / inputs (He et al. 2015); keras's `he_normal`."""

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        # Without its tails a normal distribution has 0.8796 of its standard deviation.
        stddev = math.sqrt(2.0 / math.prod(shape[:-1])) / 0.87962566103423978
        return stddev * ndtri(np.random.uniform(ndtr(-2.0), ndtr(2.0), shape))


@keras.saving.register_keras_serializable(PACKAGE)
class GlorotUniform(_Drawn):
    """Uniform, variance 2 / (inputs + outputs) (Glorot and Bengio 2010); keras's `glorot_uniform`."""

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        window = math.prod(shape[:-2])
        limit = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
        return np.random.uniform(-limit, limit, shape)
