"""The networks, their named sizes, and how one is saved and loaded."""

from acsgreg_tf.io.presets import PRESETS
from acsgreg_tf.networks.acsgregnet import ACSGRegNet
from acsgreg_tf.networks.affine import AffineNet
from acsgreg_tf.networks.attention_fusion import AttentionFusionNet
from acsgreg_tf.networks.avoxelmorph import AVoxelMorph
from acsgreg_tf.networks.base import load
from acsgreg_tf.networks.growth import grow
from acsgreg_tf.networks.sizes import SIZES
from acsgreg_tf.networks.velocity_unet import VelocityUNet

__all__ = [
    "ACSGRegNet",
    "AVoxelMorph",
    "AffineNet",
    "AttentionFusionNet",
    "PRESETS",
    "SIZES",
    "VelocityUNet",
    "grow",
    "load",
]
