"""AVoxelMorph: voxelmorph's U-Net behind AffineNet."""

import keras
import numpy as np
import pytest

from acsgreg_tf.networks import AVoxelMorph
from tests.networks.cases import SHAPE, layers_of, make, outputs_of, randomise


def unet_channels(network):
    """(inputs, outputs) of each convolution of the U-Net, in order, without the one to the velocity."""
    convolutions = [
        layer for layer in network.layers if isinstance(layer, keras.layers.Conv3D) and layer.name.startswith("unet_")
    ]
    return [(layer.kernel.shape[3], layer.kernel.shape[4]) for layer in convolutions]


def test_the_default_is_voxelmorphs_unet():
    network = AVoxelMorph(inshape=(32, 32, 32))
    # Encoder, decoder with the skips of the encoder (32, 32, 32; the finest is left out at half resolution), the rest.
    encoder = [(2, 16), (16, 32), (32, 32), (32, 32)]
    decoder = [(32, 32), (32 + 32, 32), (32 + 32, 32), (32 + 32, 32)]
    final = [(32, 32), (32, 16), (16, 16)]
    assert unet_channels(network) == encoder + decoder + final
    assert all(layer.kernel.shape[:3] == (3, 3, 3) for layer in layers_of(network, keras.layers.Conv3D))


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
