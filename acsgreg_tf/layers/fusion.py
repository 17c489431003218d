"""The gated fusion module (GFM, Figure 4)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from acsgreg_tf.layers.initializers import GlorotUniform
from acsgreg_tf.ops import PACKAGE, Tensor

GATES = ("sigmoid", "softmax", "none")


@keras.saving.register_keras_serializable(PACKAGE)
class SumOfHalves(keras.initializers.Initializer):
    """Kernel of a convolution over two fields side by side that starts as their sum, plus a little noise.

    A fused field thus begins as w_s v_s + w_c v_c, in the right axes, and training moves it from there.
    """

    def __init__(self, stddev: float = 1e-3, seed: int | None = None) -> None:
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        *window, inputs, outputs = shape
        kernel = np.zeros(shape, "float32")
        centre = tuple(side // 2 for side in window)
        for channel in range(inputs):
            kernel[(*centre, channel, channel % outputs)] = 1.0
        random = np.random if self.seed is None else np.random.RandomState(self.seed)
        kernel += random.normal(0.0, self.stddev, shape).astype("float32")
        return ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(PACKAGE)
class GatedFusion(keras.layers.Layer):
    """Fuses two velocity fields: concat -> conv -> gates -> weigh each -> concat -> conv (section 2.1.3).

    Called on [v_s, v_c], each [B, X, Y, Z, N]; returns (v, w_s, w_c), all [B, X, Y, Z, N].

    Args:
        kernel_size: Of both convolutions.
        activation: What makes gates of the first convolution: "sigmoid", each between 0 and 1; "softmax", w_s and w_c
            between 0 and 1 with the sum 1; "none", the convolution itself, as Figure 4 is drawn.

    Raises:
        ValueError: An unknown activation.
    """

    def __init__(self, kernel_size: int = 3, activation: str = "sigmoid", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if activation not in GATES:
            raise ValueError(f"the gate's activation must be one of {GATES}, got {activation!r}")
        self.kernel_size = kernel_size
        self.activation = activation

    def build(self, input_shape: Any) -> None:
        components = input_shape[0][-1]
        both = (*input_shape[0][:-1], 2 * components)
        self.gate = keras.layers.Conv3D(
            2 * components,
            self.kernel_size,
            padding="same",
            activation="sigmoid" if self.activation == "sigmoid" else None,
            kernel_initializer=GlorotUniform(),
            name="gate",
            dtype=self.dtype_policy,
        )
        self.fuse = keras.layers.Conv3D(
            components,
            self.kernel_size,
            padding="same",
            kernel_initializer=SumOfHalves(),
            name="fuse",
            dtype=self.dtype_policy,
        )
        self.gate.build(both)
        self.fuse.build(both)
        self.built = True

    def call(self, velocities: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        both = ops.concatenate(velocities, axis=-1)
        gates = self.gate(both)
        if self.activation == "softmax":
            # Of two numbers, the first one's share is the sigmoid of their difference.
            w_s, w_c = ops.split(gates, 2, axis=-1)
            gates = ops.sigmoid(ops.concatenate([w_s - w_c, w_c - w_s], axis=-1))
        velocity = self.fuse(gates * both)
        return (velocity, *ops.split(gates, 2, axis=-1))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return (tuple(input_shape[0]),) * 3

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size, "activation": self.activation}
