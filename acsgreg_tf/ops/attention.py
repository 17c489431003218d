"""One layer of the vanilla transformer encoder (Vaswani et al. 2017; the paper's TEM, Figure 3) as a pure function."""

from typing import Any

from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import in_turn, traced_once


def layer_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Normalise the last axis in float32, then scale and shift: [..., K]."""
    wide = ops.cast(x, "float32")
    centred = wide - ops.mean(wide, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    normal = centred * ops.rsqrt(variance + epsilon)
    return ops.cast(normal, x.dtype) * scale + bias


SOFTMAX_SCALES = ("head", "width")


def self_attention(
    x: Tensor,
    qkv_kernel: Tensor,
    qkv_bias: Tensor,
    out_kernel: Tensor,
    out_bias: Tensor,
    heads: int,
    softmax_scale: str = "head",
) -> Tensor:
    """Multi-head attention of a token sequence to itself, Eqs. 1-4: [B, T, K] -> [B, T, K].

    Args:
        x: Tokens [B, T, K].
        qkv_kernel: [K, 3 K], of query, key and value side by side.
        qkv_bias: [3 K].
        out_kernel: [K, K].
        out_bias: [K].
        heads: Number of heads; divides K.
        softmax_scale: Scores are divided by the root of a head's width, "head", as in the vanilla encoder, or of the
            whole "width" K, as Eq. 2 is printed.
    """
    tokens, width = x.shape[1], x.shape[2]
    qkv = ops.reshape(ops.matmul(x, qkv_kernel) + qkv_bias, (-1, tokens, 3, heads, width // heads))
    query, key, value = (ops.transpose(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
    divisor = width if softmax_scale == "width" else width // heads
    scores = ops.matmul(query * divisor**-0.5, ops.transpose(key, (0, 1, 3, 2)))
    mixed = ops.matmul(ops.softmax(scores, axis=-1), value)
    return ops.matmul(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, tokens, width)), out_kernel) + out_bias


def _encoder_layer(x: Tensor, *weights: Any, heads: int, softmax_scale: str = "head") -> Tensor:
    """A layer with its twelve weights and, where there is dropout, a mask [B, T, K] that multiplies each branch."""
    weights, masks = weights[:12], weights[12:]
    (
        norm1_scale,
        norm1_bias,
        qkv_kernel,
        qkv_bias,
        out_kernel,
        out_bias,
        norm2_scale,
        norm2_bias,
        in_kernel,
        in_bias,
        mlp_kernel,
        mlp_bias,
    ) = weights
    normal = layer_norm(x, norm1_scale, norm1_bias)
    attended = self_attention(normal, qkv_kernel, qkv_bias, out_kernel, out_bias, heads, softmax_scale)
    x = x + (attended * masks[0] if masks else attended)
    hidden = ops.gelu(ops.matmul(layer_norm(x, norm2_scale, norm2_bias), in_kernel) + in_bias)
    if masks:
        return x + (ops.matmul(hidden, mlp_kernel) + mlp_bias) * masks[1]
    return x + ops.matmul(hidden, mlp_kernel) + mlp_bias


encoder_layer = traced_once(_encoder_layer)
# The same of stacks [layers, ...], one layer after the other.
encoder_layers = in_turn(encoder_layer)
