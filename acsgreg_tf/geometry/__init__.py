"""Grids and transforms in RAS mm, resampling and signed distances. Pure numpy and scipy."""

from acsgreg_tf.geometry.grid import Grid, check_affine
from acsgreg_tf.geometry.network import (
    NETWORK_SHAPE,
    affine_from_network,
    affine_to_network,
    field_from_network,
    field_to_network,
    network_grid,
)
from acsgreg_tf.geometry.pose import Pose, pose_of
from acsgreg_tf.geometry.resample import resample, resample_label
from acsgreg_tf.geometry.transforms import Affine, Composite, DenseField, Transform

__all__ = [
    "NETWORK_SHAPE",
    "Affine",
    "Composite",
    "DenseField",
    "Grid",
    "Pose",
    "Transform",
    "affine_from_network",
    "affine_to_network",
    "check_affine",
    "field_from_network",
    "field_to_network",
    "network_grid",
    "pose_of",
    "resample",
    "resample_label",
]
