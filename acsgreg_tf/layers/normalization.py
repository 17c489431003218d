"""Normalisation by the statistics of one image."""

from typing import Any

import keras
from keras import ops

from acsgreg_tf.ops import PACKAGE, Tensor


def _mean(values: Tensor) -> Tensor:
    # An axis at a time: over all at once TensorFlow adds a channel's voxels one after the other in float32, which costs
    # the fourth digit of a variance.
    for axis in range(len(values.shape) - 2, 0, -1):
        values = ops.mean(values, axis=axis, keepdims=True)
    return values


@keras.saving.register_keras_serializable(PACKAGE)
class InstanceNormalization(keras.layers.GroupNormalization):
    """Keras's GroupNormalization of one channel a group, with exact sums: [B, X, Y, Z, C] -> the same.

    Takes its statistics in float32 under any policy, and has the same weights (gamma, beta).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "groups": -1, "axis": -1})

    def call(self, x: Tensor) -> Tensor:
        wide = ops.cast(x, "float32")
        centred = wide - _mean(wide)
        normal = centred * ops.rsqrt(_mean(ops.square(centred)) + self.epsilon)
        if self.scale:
            normal = normal * ops.cast(self.gamma, "float32")
        if self.center:
            normal = normal + ops.cast(self.beta, "float32")
        return ops.cast(normal, self.compute_dtype)
