"""The convolution block of both networks."""

from typing import Any

import keras

from acsgreg_tf.layers.initializers import HeNormal
from acsgreg_tf.layers.normalization import InstanceNormalization
from acsgreg_tf.ops import PACKAGE, Tensor

NORMALIZATIONS = ("batch", "instance", "none")


@keras.saving.register_keras_serializable(PACKAGE)
class ConvBlock(keras.layers.Layer):
    """Conv 3x3x3, normalisation, LeakyReLU (section 2.1): [B, X, Y, Z, C] -> [B, X/s, Y/s, Z/s, filters].

    Args:
        filters: Output channels.
        strides: 1, or 2 to halve each side.
        normalization: "batch" (the paper), "instance" (statistics of one image, for small batches) or "none".
        slope: Of the LeakyReLU for negative values.
    """

    def __init__(
        self, filters: int, strides: int = 1, normalization: str = "batch", slope: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}")
        self.filters = filters
        self.strides = strides
        self.normalization = normalization
        self.slope = slope
        policy = self.dtype_policy
        self.conv = keras.layers.Conv3D(
            filters, 3, strides=strides, padding="same", kernel_initializer=HeNormal(), name="conv", dtype=policy
        )
        self.norm = None
        if normalization == "batch":
            self.norm = keras.layers.BatchNormalization(name="norm", dtype=policy)
        elif normalization == "instance":
            self.norm = InstanceNormalization(name="norm", dtype=policy)
        self.activation = keras.layers.LeakyReLU(slope, name="activation", dtype=policy)

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)
        if self.norm is not None:
            self.norm.build(self.conv.compute_output_shape(input_shape))
        self.built = True

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, training=training) if self.normalization == "batch" else self.norm(x)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return self.conv.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "normalization": self.normalization,
            "slope": self.slope,
        }
