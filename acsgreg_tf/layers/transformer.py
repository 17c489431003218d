"""The transformer encoder module (TEM, Figure 3) and its position embedding."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from acsgreg_tf.layers.initializers import Normal, Uniform
from acsgreg_tf.ops import PACKAGE, Tensor
from acsgreg_tf.ops.attention import encoder_layer


@keras.saving.register_keras_serializable(PACKAGE)
class PositionEmbedding(keras.layers.Layer):
    """Adds a learnable vector to each token: [B, T, K] -> [B, T, K] (E = E~ + position, section 2.1.1)."""

    def build(self, input_shape: Any) -> None:
        self.embedding = self.add_weight(shape=tuple(input_shape[1:]), initializer=Normal(0.02), name="embedding")
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        return tokens + self.embedding

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape)


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerEncoder(keras.layers.Layer):
    """Pre-norm encoder layers (self-attention, then a GELU perceptron, each with a residual) and a closing norm.

    [B, T, K] -> [B, T, K]. The weights of all layers are stacked, [layers, ...], so that an optimiser has 12 variables
    to update rather than 12 a layer: at the paper's depth that is most of the time that the first training step takes.

    Args:
        layers: Number of encoder layers (the paper: 12).
        heads: Number of attention heads; must divide the token width K.
        mlp_ratio: Hidden width of the perceptron over K.

    Raises:
        ValueError: K is not divisible by heads.
    """

    def __init__(self, layers: int = 12, heads: int = 12, mlp_ratio: float = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = layers
        self.heads = heads
        self.mlp_ratio = mlp_ratio
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        check_heads(width, self.heads)
        hidden = int(self.mlp_ratio * width)

        def weight(name: str, shape: Sequence[int], initializer: Any) -> Tensor:
            return self.add_weight(name=name, shape=(self.layers, *shape), initializer=initializer)

        def kernel(name: str, inputs: int, outputs: int) -> Tensor:
            limit = (6.0 / (inputs + outputs)) ** 0.5  # Glorot's, of one layer: stacking must not change the fans
            return weight(name, (inputs, outputs), Uniform(limit))

        self.stacks = [
            weight("norm1_scale", (width,), "ones"),
            weight("norm1_bias", (width,), "zeros"),
            kernel("qkv_kernel", width, 3 * width),
            weight("qkv_bias", (3 * width,), "zeros"),
            kernel("out_kernel", width, width),
            weight("out_bias", (width,), "zeros"),
            weight("norm2_scale", (width,), "ones"),
            weight("norm2_bias", (width,), "zeros"),
            kernel("in_kernel", width, hidden),
            weight("in_bias", (hidden,), "zeros"),
            kernel("mlp_kernel", hidden, width),
            weight("mlp_bias", (width,), "zeros"),
        ]
        self.norm.build(input_shape)
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        stacks = [ops.unstack(ops.convert_to_tensor(stack), num=self.layers) for stack in self.stacks]
        for weights in zip(*stacks, strict=True):
            tokens = encoder_layer(tokens, *(ops.cast(w, tokens.dtype) for w in weights), heads=self.heads)
        return self.norm(tokens)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers, "heads": self.heads, "mlp_ratio": self.mlp_ratio}


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError for a token width that the number of heads does not divide."""
    if width % heads:
        raise ValueError(
            f"the token width must be divisible by the number of heads, got width {width} and {heads} heads"
        )
