"""The transformer layer's arithmetic: known answers, Keras's own attention, and the gradient of the shared trace."""

import keras
import numpy as np
import pytest
from keras import ops

from acsgreg_tf.ops import attention
from tests.helpers import dtype_of, gradients, noise

TOKENS, WIDTH, HEADS = 5, 12, 3


def weights_of_a_layer(hidden=16):
    shapes = [
        (WIDTH,),
        (WIDTH,),
        (WIDTH, 3 * WIDTH),
        (3 * WIDTH,),
        (WIDTH, WIDTH),
        (WIDTH,),
        (WIDTH,),
        (WIDTH,),
        (WIDTH, hidden),
        (hidden,),
        (hidden, WIDTH),
        (WIDTH,),
    ]
    return [noise(shape, 0.3, seed) for seed, shape in enumerate(shapes)]


def test_layer_norm_has_mean_0_and_variance_1():
    scale, bias = np.ones(64, "float32"), np.zeros(64, "float32")
    result = np.array(attention.layer_norm(noise((2, TOKENS, 64), 3.0) + 5, scale, bias))
    np.testing.assert_allclose(result.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(-1), 1, atol=1e-4)


def test_layer_norm_agrees_with_keras():
    x, scale, bias = noise((2, TOKENS, WIDTH)), noise((WIDTH,), seed=1), noise((WIDTH,), seed=2)
    layer = keras.layers.LayerNormalization(epsilon=1e-6)
    layer.build(x.shape)
    layer.set_weights([scale, bias])
    np.testing.assert_allclose(attention.layer_norm(x, scale, bias), layer(x), atol=1e-5)


def test_attention_agrees_with_keras():
    x = noise((2, TOKENS, WIDTH))
    qkv, qkv_bias, out, out_bias = weights_of_a_layer()[2:6]
    layer = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    layer.build(x.shape, x.shape)
    split, per_head = (WIDTH, 3, HEADS, WIDTH // HEADS), (3, HEADS, WIDTH // HEADS)
    kernels, biases = qkv.reshape(split), qkv_bias.reshape(per_head)
    inner = [part for i in range(3) for part in (kernels[:, i], biases[i])]
    layer.set_weights([*inner, out.reshape(HEADS, WIDTH // HEADS, WIDTH), out_bias])
    np.testing.assert_allclose(attention.self_attention(x, qkv, qkv_bias, out, out_bias, HEADS), layer(x, x), atol=1e-5)


def test_the_scores_are_divided_by_the_root_that_was_asked_for():
    """Eq. 2 as printed divides by the root of k: the root of the number of heads more than the vanilla encoder does."""
    x, (qkv, qkv_bias, out, out_bias) = noise((2, TOKENS, WIDTH)), weights_of_a_layer()[2:6]
    weaker = qkv.copy()
    weaker[:, :WIDTH] /= np.sqrt(HEADS)  # the queries
    bias = qkv_bias.copy()
    bias[:WIDTH] /= np.sqrt(HEADS)
    printed = attention.self_attention(x, qkv, qkv_bias, out, out_bias, HEADS, softmax_scale="width")
    np.testing.assert_allclose(printed, attention.self_attention(x, weaker, bias, out, out_bias, HEADS), atol=1e-5)
    vanilla = attention.self_attention(x, qkv, qkv_bias, out, out_bias, HEADS)
    assert np.abs(np.array(printed) - np.array(vanilla)).max() > 1e-3


def test_masks_multiply_the_two_branches():
    x, weights = noise((2, TOKENS, WIDTH)), weights_of_a_layer()
    keep, drop = np.ones_like(x), np.zeros_like(x)
    plain = attention.encoder_layer(x, *weights, heads=HEADS)
    np.testing.assert_allclose(attention.encoder_layer(x, *weights, keep, keep, heads=HEADS), plain, atol=1e-5)
    np.testing.assert_array_equal(attention.encoder_layer(x, *weights, drop, drop, heads=HEADS), x)
    attended = attention.encoder_layer(x, *weights, keep, drop, heads=HEADS)
    normal = attention.layer_norm(x, *weights[:2])
    branch = np.asarray(attention.self_attention(normal, *weights[2:6], HEADS))
    np.testing.assert_allclose(attended, x + branch, atol=1e-5)


def test_without_queries_each_token_gets_the_mean_of_the_values():
    x = noise((1, TOKENS, WIDTH))
    qkv = np.zeros((WIDTH, 3 * WIDTH), "float32")
    qkv[:, 2 * WIDTH :] = np.eye(WIDTH)  # values are the tokens; queries and keys are 0
    no_bias, same = np.zeros(3 * WIDTH, "float32"), np.eye(WIDTH, dtype="float32")
    result = attention.self_attention(x, qkv, no_bias, same, no_bias[:WIDTH], HEADS)
    np.testing.assert_allclose(result, np.broadcast_to(x.mean(1, keepdims=True), x.shape), atol=1e-6)


def test_a_layer_without_output_weights_hands_its_tokens_on():
    x, weights = noise((1, TOKENS, WIDTH)), weights_of_a_layer()
    for i in (4, 5, 10, 11):  # out and mlp: kernels and biases
        weights[i] = np.zeros_like(weights[i])
    np.testing.assert_array_equal(attention.encoder_layer(x, *weights, heads=HEADS), x)


def test_the_order_of_tokens_does_not_matter_to_the_layer():
    x, weights = noise((1, TOKENS, WIDTH)), weights_of_a_layer()
    order = [3, 0, 4, 1, 2]
    result = np.array(attention.encoder_layer(x, *weights, heads=HEADS))
    np.testing.assert_allclose(attention.encoder_layer(x[:, order], *weights, heads=HEADS), result[:, order], atol=1e-5)


def test_the_shared_trace_gives_the_plain_functions_gradients():
    x, weights = noise((2, TOKENS, WIDTH)), weights_of_a_layer()
    value, result = gradients(lambda *a: attention.encoder_layer(*a, heads=HEADS), x, *weights)
    plain, expected = gradients(lambda *a: attention.encoder_layer.__wrapped__(*a, heads=HEADS), x, *weights)
    np.testing.assert_allclose(value, plain, atol=1e-5)
    for got, want in zip(result, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_half_and_close(dtype):
    x, weights = noise((1, TOKENS, WIDTH)), weights_of_a_layer()
    half = [ops.cast(w, dtype) for w in (x, *weights)]
    result = attention.encoder_layer(*half, heads=HEADS)
    assert dtype_of(result) == dtype
    expected = attention.encoder_layer(x, *weights, heads=HEADS)
    np.testing.assert_allclose(ops.cast(result, "float32"), expected, atol=0.15)
