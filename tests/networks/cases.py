"""Small networks that the tests of this folder share, and what every network must do."""

import keras
import numpy as np

from acsgreg_tf.networks import ACSGRegNet, AffineNet, AttentionFusionNet, AVoxelMorph, VelocityUNet
from tests.helpers import ball, noise

SHAPE = (16, 16, 16)
HALF = (8, 8, 8)

AFFINE = {"inshape": SHAPE, "features": (3, 4, 5), "normalization": "none"}
ACSG = {
    "inshape": SHAPE,
    "affine_features": (3, 4),
    "encoder_features": (4, 5, 6),
    "width": 12,
    "layers": 2,
    "heads": 3,
    "mlp_ratio": 2,
}
AVXM = {
    "inshape": SHAPE,
    "affine_features": (3, 4),
    "encoder_features": (4, 5),
    "decoder_features": (6, 5, 4, 3),
}

FUSION = {name: value for name, value in ACSG.items() if name != "affine_features"}
UNET = {name: value for name, value in AVXM.items() if name != "affine_features"}

NETWORKS = {
    "acsgregnet": (ACSGRegNet, ACSG),
    "avoxelmorph": (AVoxelMorph, AVXM),
    "affine_net": (AffineNet, AFFINE),
    "attention_fusion": (AttentionFusionNet, FUSION),
    "velocity_unet": (VelocityUNet, UNET),
}
DEFORMABLE = ("attention_fusion", "velocity_unet")


def make(which, **changes):
    network, arguments = NETWORKS[which]
    return network(**{**arguments, **changes})


def pair(batch=1, shape=SHAPE):
    """Two balls with texture, the moving one smaller and off the centre: {"fixed", "moving"}, [B, *shape, 1]."""
    centre = (np.array(shape) - 1) / 2
    texture = 0.1 * noise((batch, *shape, 1))
    fixed = ball(shape, 5.5) * (0.8 + texture)
    moving = ball(shape, 4.5, centre + [1.5, -1, 0.5]) * (0.8 + texture)
    return {"fixed": fixed.astype("float32"), "moving": moving.astype("float32")}


def randomise(network, scale=0.05, seed=0):
    """Weights (and moving statistics) away from the start, so that the outputs say something."""
    random = np.random.default_rng(seed)
    for weight in network.weights:
        value = keras.ops.convert_to_numpy(weight)
        if weight.path.endswith("moving_variance"):
            weight.assign(value * random.uniform(0.5, 1.5, value.shape))
        else:
            weight.assign(value + scale * random.normal(size=value.shape))
    return network


def outputs_of(network, inputs=None):
    outputs = network(inputs or pair())
    outputs = outputs if isinstance(outputs, dict) else {"affine": outputs}
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def assert_same_outputs(network, other, **tolerance):
    expected = outputs_of(network)
    outputs = outputs_of(other)
    assert outputs.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(outputs[name], expected[name], err_msg=name, **(tolerance or {"rtol": 0, "atol": 0}))


def all_layers(network):
    """The network's layers, and the layers that those are made of."""
    return list(network._flatten_layers(include_self=False))


def layers_of(network, kind):
    return [layer for layer in all_layers(network) if isinstance(layer, kind)]
