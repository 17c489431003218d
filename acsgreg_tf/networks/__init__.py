"""The networks, their named sizes, and how one is saved and loaded."""

from acsgreg_tf.networks.acsgregnet import ACSGRegNet
from acsgreg_tf.networks.affine import AffineNet
from acsgreg_tf.networks.avoxelmorph import AVoxelMorph
from acsgreg_tf.networks.base import load
from acsgreg_tf.networks.sizes import SIZES

__all__ = ["ACSGRegNet", "AVoxelMorph", "AffineNet", "SIZES", "load"]
