"""AffineNet: the structure of Figure 2 and its arguments."""

import keras
import numpy as np

from acsgreg_tf.layers import ConvBlock
from acsgreg_tf.networks import AffineNet
from tests.networks.cases import SHAPE, layers_of, make, pair


def test_each_step_is_one_block_of_stride_2_and_two_of_stride_1():
    blocks = layers_of(make("affine_net"), ConvBlock)
    assert [(b.filters, b.strides) for b in blocks] == [(f, s) for f in (3, 4, 5) for s in (2, 1, 1)]


def test_it_gives_an_affine_near_the_identity():
    result = np.array(make("affine_net")(pair(batch=2)))
    assert result.shape == (2, 3, 4) and result.dtype == np.float32
    np.testing.assert_allclose(result[:, :, :3], np.broadcast_to(np.eye(3), (2, 3, 3)), atol=0.2)


def test_the_paper_has_five_steps():
    config = AffineNet().get_config()
    assert config["features"] == (16, 32, 64, 128, 256) and config["inshape"] == (128, 128, 64)


def test_normalization_reaches_every_block():
    kinds = {"batch": keras.layers.BatchNormalization, "instance": keras.layers.GroupNormalization, "none": ()}
    for name, kind in kinds.items():
        network = make("affine_net", normalization=name)
        norms = layers_of(network, (keras.layers.BatchNormalization, keras.layers.GroupNormalization))
        assert len(norms) == (9 if kind else 0)
        assert all(isinstance(norm, kind) for norm in norms)


def test_a_list_from_json_is_as_good_as_a_tuple():
    network = AffineNet(inshape=list(SHAPE), features=[2, 3])
    assert network.get_config() == AffineNet(inshape=SHAPE, features=(2, 3)).get_config()
