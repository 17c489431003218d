"""TransformerEncoder and PositionEmbedding: known answers, a depth of one against the op, and the habits of a layer."""

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import PositionEmbedding, TransformerEncoder
from acsgreg_tf.ops.attention import encoder_layer
from tests.helpers import gradients, noise
from tests.keras_cases import check_layer

TOKENS, WIDTH = 6, 12


def tokens(batch=2):
    return noise((batch, TOKENS, WIDTH))


def test_they_are_good_layers():
    check_layer(lambda: TransformerEncoder(layers=2, heads=3, mlp_ratio=2), tokens())
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


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="divisible by the number of heads, got width 12 and 5 heads"):
        TransformerEncoder(layers=1, heads=5)(tokens())
