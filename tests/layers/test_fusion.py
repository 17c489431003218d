"""GatedFusion: gates between 0 and 1, a start at the weighted sum, and the habits of a layer."""

import numpy as np
import pytest

from acsgreg_tf.layers import GatedFusion, SumOfHalves
from tests.helpers import gradients, noise
from tests.keras_cases import check_layer

SHAPE = (6, 5, 4)


def pair():
    return [noise((2, *SHAPE, 3)), noise((2, *SHAPE, 3), seed=1)]


def test_it_is_a_good_layer():
    check_layer(lambda: GatedFusion(), pair())
    check_layer(lambda: GatedFusion(kernel_size=1), pair())
    check_layer(lambda: GatedFusion(activation="softmax"), pair(), mixed=())


def test_gates_lie_between_0_and_1():
    _, w_s, w_c = (np.array(o) for o in GatedFusion()([100 * v for v in pair()]))
    assert w_s.shape == w_c.shape == (2, *SHAPE, 3)
    for gate in (w_s, w_c):
        assert gate.min() >= 0 and gate.max() <= 1 and gate.std() > 0.1


def test_softmax_gates_share_each_voxel_and_none_is_the_convolution():
    layers = {kind: GatedFusion(activation=kind) for kind in ("sigmoid", "softmax", "none")}
    layers["none"](pair())
    gates = {}
    for kind, layer in layers.items():
        layer(pair())
        layer.set_weights(layers["none"].get_weights())
        gates[kind] = [np.array(w) for w in layer(pair())[1:]]
    raw = np.stack(gates["none"])
    assert raw.min() < -0.1 and raw.max() > 0.1
    np.testing.assert_allclose(np.stack(gates["sigmoid"]), 1 / (1 + np.exp(-raw)), atol=1e-5)
    np.testing.assert_allclose(np.stack(gates["softmax"]), np.exp(raw) / np.exp(raw).sum(0), atol=1e-5)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of .*got 'relu'"):
        GatedFusion(activation="relu")


def test_it_starts_at_the_gated_sum_of_both():
    v_s, v_c = pair()
    velocity, w_s, w_c = (np.array(o) for o in GatedFusion()([v_s, v_c]))
    np.testing.assert_allclose(velocity, w_s * v_s + w_c * v_c, atol=0.1)
    assert np.abs(velocity).max() > 1


def test_open_gates_and_no_noise_give_the_plain_sum():
    v_s, v_c = pair()
    layer = GatedFusion(kernel_size=1)
    layer.build([v_s.shape, v_c.shape])
    kernel, bias, fuse, fuse_bias = layer.get_weights()
    layer.set_weights([0 * kernel, bias + 50, SumOfHalves(0.0)(fuse.shape), fuse_bias])
    velocity, w_s, _ = layer([v_s, v_c])
    assert np.all(np.array(w_s) == 1)
    np.testing.assert_allclose(velocity, v_s + v_c, atol=1e-5)


def test_both_velocities_and_the_gates_get_a_gradient():
    layer = GatedFusion()
    _, result = gradients(lambda a, b: layer([a, b])[0], *pair())
    assert all(np.abs(g).max() > 0.1 for g in result)


def test_the_first_kernel_adds_the_halves_channel_by_channel():
    kernel = np.array(SumOfHalves(0.0)((3, 3, 3, 6, 3)))
    assert kernel.sum() == 6
    np.testing.assert_array_equal(kernel[1, 1, 1], np.tile(np.eye(3), (2, 1)))


def test_the_noise_has_its_size_and_seed():
    shape = (3, 3, 3, 6, 3)
    first = np.array(SumOfHalves(0.01, seed=1)(shape)) - np.array(SumOfHalves(0.0)(shape))
    assert first.std() == pytest.approx(0.01, rel=0.2)
    again = SumOfHalves.from_config(SumOfHalves(0.01, seed=1).get_config())(shape)
    np.testing.assert_allclose(np.array(again) - np.array(SumOfHalves(0.0)(shape)), first)
