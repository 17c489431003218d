"""The transformer encoder module (TEM, Figure 3) and its position embedding."""

import keras

from acsgreg_tf.ops.attention import encoder_layer

PACKAGE = "acsgreg_tf"


@keras.saving.register_keras_serializable(PACKAGE)
class PositionEmbedding(keras.layers.Layer):
    """Adds a learnable vector to each token: [B, T, K] -> [B, T, K] (E = E~ + position, section 2.1.1)."""

    def build(self, input_shape):
        self.embedding = self.add_weight(
            shape=tuple(input_shape[1:]), initializer=keras.initializers.RandomNormal(stddev=0.02), name="embedding"
        )
        self.built = True

    def call(self, tokens):
        return tokens + self.embedding

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerLayer(keras.layers.Layer):
    """Pre-norm encoder layer: self-attention, then a GELU perceptron, each with a residual. [B, T, K] -> [B, T, K].

    Args:
        heads: number of attention heads; must divide the token width K.
        mlp_ratio: hidden width of the perceptron over K.

    Raises:
        ValueError: K is not divisible by heads.
    """

    def __init__(self, heads=12, mlp_ratio=4, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.mlp_ratio = mlp_ratio

    def build(self, input_shape):
        width = input_shape[-1]
        check_heads(width, self.heads)
        hidden = int(self.mlp_ratio * width)

        def weight(name, shape, initializer):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self.norm1_scale = weight("norm1_scale", (width,), "ones")
        self.norm1_bias = weight("norm1_bias", (width,), "zeros")
        self.qkv_kernel = weight("qkv_kernel", (width, 3 * width), "glorot_uniform")
        self.qkv_bias = weight("qkv_bias", (3 * width,), "zeros")
        self.out_kernel = weight("out_kernel", (width, width), "glorot_uniform")
        self.out_bias = weight("out_bias", (width,), "zeros")
        self.norm2_scale = weight("norm2_scale", (width,), "ones")
        self.norm2_bias = weight("norm2_bias", (width,), "zeros")
        self.in_kernel = weight("in_kernel", (width, hidden), "glorot_uniform")
        self.in_bias = weight("in_bias", (hidden,), "zeros")
        self.mlp_kernel = weight("mlp_kernel", (hidden, width), "glorot_uniform")
        self.mlp_bias = weight("mlp_bias", (width,), "zeros")
        self.built = True

    def call(self, tokens):
        weights = (
            self.norm1_scale, self.norm1_bias, self.qkv_kernel, self.qkv_bias, self.out_kernel, self.out_bias,
            self.norm2_scale, self.norm2_bias, self.in_kernel, self.in_bias, self.mlp_kernel, self.mlp_bias,
        )  # fmt: skip
        return encoder_layer(tokens, *weights, heads=self.heads)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "mlp_ratio": self.mlp_ratio}


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerEncoder(keras.layers.Layer):
    """A stack of TransformerLayers and a closing layer normalisation: [B, T, K] -> [B, T, K].

    Args:
        layers: number of TransformerLayers (the paper: 12).
        heads, mlp_ratio: as in TransformerLayer.
    """

    def __init__(self, layers=12, heads=12, mlp_ratio=4, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers
        self.heads = heads
        self.mlp_ratio = mlp_ratio
        self.stack = [TransformerLayer(heads, mlp_ratio, name=f"layer_{i}") for i in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def build(self, input_shape):
        for layer in self.stack:
            layer.build(input_shape)
        self.norm.build(input_shape)
        self.built = True

    def call(self, tokens):
        for layer in self.stack:
            tokens = layer(tokens)
        return self.norm(tokens)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "layers": len(self.stack), "heads": self.heads, "mlp_ratio": self.mlp_ratio}


def check_heads(width, heads):
    """Refuse a token width that the heads cannot share."""
    if width % heads:
        raise ValueError(f"the token width must be divisible by the number of heads, got width {width} and {heads} heads")
