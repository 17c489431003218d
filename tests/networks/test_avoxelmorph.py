"""AVoxelMorph: voxelmorph's U-Net behind AffineNet."""

import importlib

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import ConvBlock
from acsgreg_tf.metrics import inverse_consistency_error
from acsgreg_tf.networks import AVoxelMorph, VelocityUNet
from acsgreg_tf.registration import run_network
from tests.networks.cases import HALF, SHAPE, layers_of, make, outputs_of, pair, randomise


def unet_channels(network):
    """(inputs, outputs) of each convolution of the U-Net, in order, without the one to the velocity."""
    convolutions = [
        layer for layer in network.layers if isinstance(layer, keras.layers.Conv3D) and layer.name.startswith("unet_")
    ]
    return [(layer.kernel.shape[3], layer.kernel.shape[4]) for layer in convolutions]


@pytest.fixture
def voxelmorph(monkeypatch):
    """voxelmorph 0.2, whose networks can be built once Keras 3's symbolic tensors have `get_shape`."""
    import tensorflow
    from keras.src.backend import KerasTensor

    monkeypatch.setattr(KerasTensor, "get_shape", lambda self: tensorflow.TensorShape(self.shape), raising=False)
    return importlib.import_module("voxelmorph")


@pytest.mark.tensorflow
def test_the_default_has_voxelmorphs_layers(voxelmorph):
    theirs = voxelmorph.networks.Unet((32, 32, 32, 2))
    ours = AVoxelMorph(inshape=(32, 32, 32)).deformable_net
    velocity = ours.get_layer("velocity")
    assert theirs.count_params() == 326_032 == ours.count_params() - velocity.count_params()
    assert [w.shape for w in ours.weights] == [w.shape for w in [*theirs.weights, *velocity.weights]]


@pytest.mark.tensorflow
@pytest.mark.parametrize("changes", [{}, {"int_downsize": 1}, {"field": "displacement"}], ids=str)
def test_with_voxelmorphs_weights_each_layer_gives_what_voxelmorphs_gives(voxelmorph, changes):
    ours = randomise(make("avoxelmorph", **changes))
    stage = ours.deformable_net
    features = [list(stage.arguments[f"{part}_features"]) for part in ("encoder", "decoder")]
    steps, halving = ours.arguments["int_steps"], ours.arguments["int_downsize"]
    theirs = voxelmorph.networks.VxmDense(
        SHAPE, nb_unet_features=features, int_steps=steps, int_resolution=halving, reg_field="warp"
    )
    theirs.set_weights(stage.get_weights())
    fixed, moving = pair().values()
    own = keras.Model(stage.input, activations(stage))([fixed, moving])
    their = keras.Model(theirs.input, activations(theirs))([moving, fixed])
    for a, b in zip(own, their, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    velocity, phi = stage([fixed, moving]), theirs([moving, fixed])[1]
    # voxelmorph halves and doubles vectors where the grid, corner to corner, shrinks and grows by 15 / 7.
    scale = (15 / 7) / 2 if halving == 2 else 1.0
    ours_phi = ours.resize(ours.integrate(velocity * scale)) / scale if halving == 2 else ours.integrate(velocity)
    np.testing.assert_allclose(ours_phi, phi, atol=1e-4)
    assert np.abs(phi).max() > 0.1


def activations(network):
    """Outputs of the convolutions' activations, of pooling and upsampling, in the order of the layers."""
    kinds = (keras.layers.LeakyReLU, keras.layers.MaxPooling3D, keras.layers.UpSampling3D)
    layers = [layer for layer in network.layers if isinstance(layer, kinds)]
    return [layer.output for layer in layers]


def test_half_resolution_leaves_the_finest_skip_out():
    network = randomise(make("avoxelmorph", decoder="half"))
    assert unet_channels(network) == [(2, 4), (4, 5), (5, 6), (6 + 5, 5), (5, 4), (4, 3)]
    assert outputs_of(network)["velocity"].shape == (1, *HALF, 3)


def test_a_config_that_names_no_decoder_is_of_the_half_one():
    for which, kind in (("avoxelmorph", AVoxelMorph), ("velocity_unet", VelocityUNet)):
        config = make(which, decoder="half").get_config()
        again = kind.from_config({name: value for name, value in config.items() if name != "decoder"})
        assert again.get_config() == config
        assert kind.from_config(make(which).get_config()).get_config()["decoder"] == "full"


def test_a_displacement_is_not_integrated():
    network = randomise(make("avoxelmorph", field="displacement"))
    result = outputs_of(network)
    np.testing.assert_array_equal(result["phi"], result["velocity"])
    assert result["phi"].shape == (1, *SHAPE, 3) and np.abs(result["phi"]).max() > 0.05
    assert network.get_config()["int_steps"] == 0


def test_a_displacement_is_registered_with_an_inverse_that_was_searched():
    network, images = randomise(make("avoxelmorph", field="displacement")), pair()
    deformation = run_network(network, *(image[0, ..., 0] for image in images.values()))
    np.testing.assert_allclose(deformation.phi, outputs_of(network)["phi"][0], rtol=0, atol=1e-6)
    error = inverse_consistency_error(deformation.phi, deformation.inverse, spacing=(1, 1, 1)).mean
    negative = inverse_consistency_error(deformation.phi, -deformation.phi, spacing=(1, 1, 1)).mean
    assert error < 0.05 < 0.5 < np.abs(deformation.phi).max() and error < 0.7 * negative


def test_the_slope_is_that_of_the_affine_network():
    network = make("avoxelmorph", slope=0.3)
    assert {block.slope for block in layers_of(network, ConvBlock)} == {0.3}
    unet = [layer for layer in network.deformable_net.layers if isinstance(layer, keras.layers.LeakyReLU)]
    assert {round(float(layer.negative_slope), 6) for layer in unet} == {0.2}


def test_full_resolution_takes_the_finest_skip_too():
    network = randomise(make("avoxelmorph", int_downsize=1))
    # encoder (4, 5), decoder (6, 5) with skips 5 and 4, final (4, 3)
    assert unet_channels(network) == [(2, 4), (4, 5), (5, 6), (6 + 5, 5), (5 + 4, 4), (4, 3)]
    result = outputs_of(network)
    assert result["velocity"].shape == result["phi"].shape == (1, *SHAPE, 3)


def test_without_integration_steps_phi_is_the_velocity():
    result = outputs_of(randomise(make("avoxelmorph", int_downsize=1, int_steps=0)))
    np.testing.assert_array_equal(result["phi"], result["velocity"])


def test_only_the_affine_network_is_normalized():
    network = make("avoxelmorph", normalization="batch")
    norms = layers_of(network, keras.layers.BatchNormalization)
    assert len(norms) == len(layers_of(network.affine_net, keras.layers.BatchNormalization)) == 6
    assert not layers_of(make("avoxelmorph", normalization="none"), keras.layers.BatchNormalization)


def test_study_adds_nothing():
    network = make("avoxelmorph")
    assert set(network.with_study().output) == set(network.output)


def test_too_few_decoder_entries_are_refused():
    with pytest.raises(ValueError, match="decoder_features needs at least 2 entries, got 1"):
        make("avoxelmorph", decoder_features=(4,))


@pytest.mark.parametrize(
    "option, words", [("decoder", "'full' .* or 'half'"), ("field", "'velocity' or 'displacement'")]
)
def test_an_unknown_option_is_refused(option, words):
    with pytest.raises(ValueError, match=f"{option} must be {words}.*, got 'other'"):
        make("avoxelmorph", **{option: "other"})
