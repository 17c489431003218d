"""Displacement fields to another resolution."""

import keras

from acsgreg_tf.layers.spatial import POSITIONS
from acsgreg_tf.ops.fields import resize_displacement

PACKAGE = "acsgreg_tf"


@keras.saving.register_keras_serializable(PACKAGE)
class ResizeDisplacement(keras.layers.Layer):
    """[B, x, y, z, 3] in its own voxels -> [B, *shape, 3] in the voxels of `shape`; corner voxels coincide."""

    def __init__(self, shape, **kwargs):
        super().__init__(**{"dtype": POSITIONS, **kwargs})
        self.shape = tuple(shape)

    def call(self, displacement):
        return resize_displacement(displacement, self.shape)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "shape": self.shape}
