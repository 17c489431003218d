"""Keras layers of ACSGRegNet; the spatial ones extend voxelmorph's."""

from acsgreg_tf.layers.affine import AffineMatrix
from acsgreg_tf.layers.blocks import ConvBlock
from acsgreg_tf.layers.fusion import GatedFusion, SumOfHalves
from acsgreg_tf.layers.resize import ResizeDisplacement
from acsgreg_tf.layers.spatial import JointTransformer, SpatialTransformer, VecInt
from acsgreg_tf.layers.transformer import PositionEmbedding, TransformerEncoder

__all__ = [
    "AffineMatrix",
    "ConvBlock",
    "GatedFusion",
    "JointTransformer",
    "PositionEmbedding",
    "ResizeDisplacement",
    "SpatialTransformer",
    "SumOfHalves",
    "TransformerEncoder",
    "VecInt",
]
