"""Displacement fields to another resolution."""

from collections.abc import Sequence
from typing import Any

import keras

from acsgreg_tf.layers.spatial import POSITIONS
from acsgreg_tf.ops import PACKAGE, Tensor
from acsgreg_tf.ops.fields import resize_displacement


@keras.saving.register_keras_serializable(PACKAGE)
class ResizeDisplacement(keras.layers.Layer):
    """[B, x, y, z, 3] in its own voxels -> [B, *shape, 3] in the voxels of `shape`; corner voxels coincide."""

    def __init__(self, shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**{"dtype": POSITIONS, **kwargs})
        self.shape = tuple(shape)

    def call(self, displacement: Tensor) -> Tensor:
        return resize_displacement(displacement, self.shape)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return (input_shape[0], *self.shape, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shape": self.shape}
