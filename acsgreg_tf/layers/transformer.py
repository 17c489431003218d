"""The transformer encoder module (TEM, Figure 3) and its position embedding."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from acsgreg_tf.layers.initializers import Normal, Uniform
from acsgreg_tf.ops import PACKAGE, Tensor
from acsgreg_tf.ops.attention import SOFTMAX_SCALES, encoder_layers


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
        mlp_width: Hidden width of the perceptron; None takes mlp_ratio * K.
        dropout: Share of each branch's numbers that training sets to 0 before they are added (Vaswani et al. 2017).
        softmax_scale: As in `ops.attention.self_attention`.

    Raises:
        ValueError: K is not divisible by heads, or an unknown option.
    """

    def __init__(
        self,
        layers: int = 12,
        heads: int = 12,
        mlp_ratio: float = 4,
        mlp_width: int | None = None,
        dropout: float = 0.0,
        softmax_scale: str = "head",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        if softmax_scale not in SOFTMAX_SCALES:
            raise ValueError(f"softmax_scale must be 'head' or 'width', got {softmax_scale!r}")
        if mlp_width is not None and mlp_width < 1:
            raise ValueError(f"mlp_width must be at least 1, got {mlp_width}")
        self.layers = layers
        self.heads = heads
        self.mlp_ratio = mlp_ratio
        self.mlp_width = mlp_width
        self.dropout = dropout
        self.softmax_scale = softmax_scale
        # Its generator would be one more entry in the files of networks without dropout.
        self.drop = keras.layers.Dropout(dropout, name="drop", dtype=self.dtype_policy) if dropout else None
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        check_heads(width, self.heads)
        hidden = int(self.mlp_ratio * width) if self.mlp_width is None else self.mlp_width

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

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        stacks = [ops.cast(ops.convert_to_tensor(stack), tokens.dtype) for stack in self.stacks]
        if self.drop is not None and training:
            ones = ops.ones((self.layers, *ops.shape(tokens)), tokens.dtype)
            stacks += [self.drop(ones, training=True) for _ in range(2)]
        tokens = encoder_layers(tokens, *stacks, heads=self.heads, softmax_scale=self.softmax_scale)
        return self.norm(tokens)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layers,
            "heads": self.heads,
            "mlp_ratio": self.mlp_ratio,
            "mlp_width": self.mlp_width,
            "dropout": self.dropout,
            "softmax_scale": self.softmax_scale,
        }


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError for a token width that the number of heads does not divide."""
    if width % heads:
        raise ValueError(
            f"the token width must be divisible by the number of heads, got width {width} and {heads} heads"
        )
