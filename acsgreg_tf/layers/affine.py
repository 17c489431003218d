"""From 12 regressed numbers to an affine matrix."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from acsgreg_tf.layers.initializers import Normal
from acsgreg_tf.layers.spatial import POSITIONS
from acsgreg_tf.ops import PACKAGE, Tensor


@keras.saving.register_keras_serializable(PACKAGE)
class AffineMatrix(keras.layers.Layer):
    """Dense layer to N(N+1) offsets to the identity: [B, F] -> [B, N, N+1], voxels about the grid's centre.

    Translations are regressed in half sides of the grid, so that all twelve numbers have the same reach: an offset d
    moves a voxel at the border by about d half sides, whichever of the twelve it is.

    The sum over F features is divided by the root of F: an optimiser such as Adam moves all F weights of a number
    together, and without this one step of usual size throws the image out of the grid.

    Args:
        inshape: Spatial shape of the grid.
        initial_scale: Standard deviation of the initial kernel; small, so that training starts at the identity.
    """

    def __init__(self, inshape: Sequence[int], initial_scale: float = 1e-2, **kwargs: Any) -> None:
        super().__init__(**{"dtype": POSITIONS, **kwargs})
        self.inshape = tuple(inshape)
        self.initial_scale = initial_scale
        rank = len(self.inshape)
        self.dense = keras.layers.Dense(
            rank * (rank + 1),
            kernel_initializer=Normal(initial_scale),
            name="dense",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any) -> None:
        self.dense.build(input_shape)
        self.built = True

    def call(self, features: Tensor) -> Tensor:
        half = (np.asarray(self.inshape, "float32") - 1.0) / 2.0
        rank = len(self.inshape)
        # Row i, column j of the linear part moves axis i by its share of axis j's half side.
        scale = np.full((rank, rank + 1), features.shape[-1] ** -0.5, "float32")
        scale[:, rank] *= half
        offset = ops.reshape(self.dense(features), (-1, rank, rank + 1))
        return ops.eye(rank, rank + 1, dtype=offset.dtype) + offset * ops.convert_to_tensor(scale, dtype=offset.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        rank = len(self.inshape)
        return (input_shape[0], rank, rank + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inshape": self.inshape, "initial_scale": self.initial_scale}
