"""TransformerEncoder and PositionEmbedding: known answers, a depth of one against the op, and the habits of a layer."""

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import PositionEmbedding, TransformerEncoder
from acsgreg_tf.ops.attention import encoder_layer, encoder_layers
from tests.helpers import gradients, noise
from tests.keras_cases import check_layer

TOKENS, WIDTH = 6, 12
# Of one layer's weights, its perceptron twice as wide.
LAYER_SHAPES = [(12,), (12,), (12, 36), (36,), (12, 12), (12,), (12,), (12,), (12, 24), (24,), (24, 12), (12,)]


def tokens(batch=2):
    return noise((batch, TOKENS, WIDTH))


def test_they_are_good_layers():
    check_layer(lambda: TransformerEncoder(layers=2, heads=3, mlp_ratio=2), tokens())
    options = {"mlp_width": 7, "dropout": 0.5, "softmax_scale": "width"}
    check_layer(lambda: TransformerEncoder(layers=1, heads=3, **options), tokens(), mixed=())
    check_layer(lambda: PositionEmbedding(), tokens())


def test_each_position_gets_a_vector_of_its_own():
    layer = PositionEmbedding()
    layer.build((None, TOKENS, WIDTH))
    layer.set_weights([noise((TOKENS, WIDTH), seed=3)])
    np.testing.assert_allclose(layer(tokens()), tokens() + noise((TOKENS, WIDTH), seed=3), atol=1e-6)


def test_the_embedding_starts_small_and_learns():
    layer = PositionEmbedding()
    layer.build((None, 50, 50))
    assert len(layer.trainable_weights) == 1
    assert layer.get_weights()[0].std() == pytest.approx(0.02, rel=0.2)


def test_it_is_its_layers_one_after_the_other_and_a_norm():
    encoder = TransformerEncoder(layers=3, heads=3)
    encoder.build((None, TOKENS, WIDTH))
    x, stacks = tokens(), [keras.ops.convert_to_numpy(s) for s in encoder.stacks]
    for depth in range(3):
        x = encoder_layer(x, *(stack[depth] for stack in stacks), heads=3)
    np.testing.assert_allclose(encoder(tokens()), encoder.norm(x), atol=1e-5)


def test_gradients_reach_every_layer():
    """Of the stacked weights, and of the tokens, as through one layer after the other."""
    stacks = [noise((2, *shape), seed=i) * 0.3 for i, shape in enumerate(LAYER_SHAPES)]

    def one_by_one(x, *stacks):
        for depth in range(2):
            x = encoder_layer(x, *(stack[depth] for stack in stacks), heads=3)
        return x

    value, result = gradients(lambda *a: encoder_layers(*a, heads=3), tokens(), *stacks)
    plain, expected = gradients(one_by_one, tokens(), *stacks)
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    for ours, theirs in zip(result, expected, strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def test_layers_start_with_weights_of_their_own_and_of_glorots_size():
    encoder = TransformerEncoder(layers=3, heads=2)
    encoder.build((None, TOKENS, 32))
    qkv = keras.ops.convert_to_numpy(encoder.stacks[2])
    assert qkv.shape == (3, 32, 96)
    assert np.abs(qkv[0] - qkv[1]).max() > 0.01
    glorot = np.array(keras.initializers.GlorotUniform()((32, 96)))
    for kernel in qkv:
        assert kernel.std() == pytest.approx(glorot.std(), rel=0.1)


@pytest.mark.parametrize("layers", [1, 4])
def test_twelve_variables_and_a_norm_whatever_the_depth(layers):
    encoder = TransformerEncoder(layers=layers, heads=3, mlp_ratio=2)
    encoder.build((None, TOKENS, WIDTH))
    assert len(encoder.trainable_weights) == 14
    one_layer = 4 * WIDTH * WIDTH + 4 * WIDTH + 2 * 2 * WIDTH * WIDTH + 2 * WIDTH + WIDTH + 4 * WIDTH
    assert encoder.count_params() == layers * one_layer + 2 * WIDTH


def test_each_token_looks_at_the_others():
    encoder = TransformerEncoder(layers=1, heads=3)
    encoder.build((None, TOKENS, WIDTH))
    _, (by_token,) = gradients(lambda x: encoder(x)[:, 0, :1], tokens(1))  # of one number of the first token
    assert np.all(np.abs(by_token).max(-1) > 1e-4)


def test_the_perceptron_has_the_width_that_was_asked_for():
    encoder = TransformerEncoder(layers=2, heads=3, mlp_ratio=4, mlp_width=7)
    encoder.build((None, TOKENS, WIDTH))
    assert encoder.stacks[8].shape == (2, WIDTH, 7) and encoder.stacks[10].shape == (2, 7, WIDTH)


def test_the_softmax_scale_reaches_the_layers():
    head, width = (TransformerEncoder(layers=1, heads=3, softmax_scale=scale) for scale in ("head", "width"))
    expected = np.array(head(tokens()))
    width(tokens())
    width.set_weights(head.get_weights())
    assert np.abs(expected - np.array(width(tokens()))).max() > 1e-4


def test_dropout_acts_in_training_only():
    encoder = TransformerEncoder(layers=2, heads=3, dropout=0.5)
    plain = TransformerEncoder(layers=2, heads=3)
    x = tokens()
    still = encoder(x)
    plain(x)
    plain.set_weights(encoder.get_weights())
    np.testing.assert_allclose(still, plain(x), atol=1e-6)
    first, second = (np.array(encoder(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
    assert not plain.drop and len(encoder.weights) == len(plain.weights)


def test_dropout_keeps_the_share_and_the_mean():
    encoder = TransformerEncoder(layers=1, heads=1, dropout=0.25)
    x = np.zeros((1, 4000, 4), "float32")
    encoder.norm = keras.layers.Identity()
    encoder.build(x.shape)
    for stack in encoder.stacks[:-1]:
        stack.assign(np.zeros(stack.shape))
    encoder.stacks[-1].assign(np.ones((1, 4)))  # the bias of the perceptron, whose branch is 1 everywhere
    result = np.array(encoder(x, training=True))
    np.testing.assert_allclose(np.unique(result), [0, 4 / 3], atol=1e-4)
    assert (result == 0).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "option, words",
    [
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"softmax_scale": "k"}, "softmax_scale must be 'head' or 'width', got 'k'"),
        ({"mlp_width": 0}, "mlp_width must be at least 1, got 0"),
    ],
)
def test_an_unknown_option_is_refused(option, words):
    with pytest.raises(ValueError, match=words):
        TransformerEncoder(**option)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="divisible by the number of heads, got width 12 and 5 heads"):
        TransformerEncoder(layers=1, heads=5)(tokens())
