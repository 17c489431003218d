"""A grown network: what is the small one's, what begins anew, and what comes out."""

import keras
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.networks import SIZES, ACSGRegNet, grow
from tests.helpers import weight_slopes
from tests.networks.cases import make, outputs_of, pair, randomise

SMALL = {"normalization": "none", "affine_normalization": "instance"}


@pytest.fixture(scope="module")
def small():
    return randomise(make("acsgregnet", **SMALL), 0.2)


def weights(network, layer):
    return network.deformable_net.get_layer(layer).get_weights()


def test_with_more_layers_alone_it_computes_the_same(small):
    large = make("acsgregnet", **SMALL, layers=5)
    growth = grow(small, large)
    assert growth.exact and not growth.padded and not growth.begun and large.count_params() > small.count_params()
    expected, outputs = outputs_of(small), outputs_of(large)
    assert np.abs(expected["phi"]).max() > 0.1
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)


def test_wider_tokens_and_all_that_is_copied(small):
    large = make("acsgregnet", **SMALL, layers=5, width=20, heads=5)
    growth = grow(small, large)
    assert not growth.exact
    assert set(growth.begun) == {"sam_fixed", "sam_moving", "cam"}
    assert set(growth.padded) == {
        "decoder_s_0", "decoder_c_0", "fixed_position", "moving_position", "projection"
    }  # fmt: skip
    expected, outputs = outputs_of(small), outputs_of(large)
    for name in ("affine", "m_a"):
        np.testing.assert_array_equal(outputs[name], expected[name])
    assert all(np.isfinite(value).all() for value in outputs.values())
    for layer in growth.copied[1:]:
        for ours, theirs in zip(weights(large, layer), weights(small, layer), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(weights(large, "projection")[0][:, :12], weights(small, "projection")[0])
    kernel, old = weights(large, "decoder_s_0")[0], weights(small, "decoder_s_0")[0]
    np.testing.assert_array_equal(kernel[:, :, :, :12], old[:, :, :, :12])
    np.testing.assert_array_equal(kernel[:, :, :, 20:32], old[:, :, :, 12:])
    assert not kernel[:, :, :, 12:20].any() and not kernel[:, :, :, 32:].any()


def test_a_new_transformer_returns_its_tokens_normalised_and_learns(small):
    large = make("acsgregnet", **SMALL, layers=5, width=20, heads=5)
    grow(small, large)
    sam = large.deformable_net.get_layer("sam_fixed")
    tokens = np.random.default_rng(0).normal(size=(1, 8, 20)).astype("float32")
    np.testing.assert_allclose(sam(tokens), sam.norm(tokens), atol=1e-6)
    # A zero that is added to what comes in must not be a dead end.
    slopes = weight_slopes(large, pair(), _energy)
    by_path = dict(zip((weight.path for weight in large.trainable_variables), slopes, strict=True))
    for name in ("sam_fixed", "cam"):
        last = next(slope for path, slope in by_path.items() if f"{name}/" in path and path.endswith("mlp_kernel"))
        assert all(np.abs(layer).max() > 0 for layer in last)


def _energy(outputs):
    return keras.ops.sum(keras.ops.square(outputs["phi"]))


def test_another_normalisation_leaves_the_affine_as_it_is(small):
    large = make("acsgregnet", **SMALL | {"normalization": "instance"}, layers=5)
    assert not grow(small, large).exact
    expected, outputs = outputs_of(small), outputs_of(large)
    np.testing.assert_array_equal(outputs["affine"], expected["affine"])
    assert np.isfinite(outputs["phi"]).all()


@pytest.mark.parametrize(
    "changes, words",
    [({"layers": 1}, "layers: 2 cannot"), ({"width": 9}, "width: 12 cannot"), ({"gate": "none"}, "gate"),
     ({"encoder_features": (4, 5, 7)}, "encoder_features")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(small, changes, words):
    with pytest.raises(InputError, match=words):
        grow(small, make("acsgregnet", **SMALL | changes))


def test_other_networks_are_refused(small):
    with pytest.raises(InputError, match="only an ACSGRegNet"):
        grow(make("avoxelmorph"), small)


def test_the_size_deep_is_the_paper_s_transformers_on_the_compact_convolutions():
    sizes = SIZES["ACSGRegNet"]
    changed = {name for name in sizes["deep"] if sizes["deep"][name] != sizes["compact"][name]}
    assert changed == {"width", "layers", "heads", "normalization"}
    small, large = (ACSGRegNet((32, 32, 32), **sizes[size]) for size in ("compact", "deep"))
    grow(small, large)
    paper = ACSGRegNet((32, 32, 32)).arguments
    assert all(large.arguments[name] == paper[name] for name in ("width", "layers", "heads", "mlp_ratio"))
