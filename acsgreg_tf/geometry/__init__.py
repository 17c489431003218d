"""Grids and transforms in RAS mm. Pure numpy: nothing here imports keras.

One module per outside format: `itk` (the only one that knows LPS) and `vxm` (voxelmorph's voxel
displacements).
"""

from acsgreg_tf.geometry.files import (
    AFFINE_ENDINGS,
    WARP_ENDINGS,
    check_transform_ending,
    read_transform,
    write_transform,
)
from acsgreg_tf.geometry.grid import Grid, check_affine
from acsgreg_tf.geometry.itk import (
    from_sitk,
    from_sitk_transform,
    grid_from_sitk,
    read_displacement,
    read_itk,
    to_sitk,
    to_sitk_transform,
    write_displacement,
    write_itk,
)
from acsgreg_tf.geometry.network import network_grid
from acsgreg_tf.geometry.resample import resample, resample_label
from acsgreg_tf.geometry.transforms import Affine, Composite, DenseField, Transform
from acsgreg_tf.geometry.vxm import (
    affine_from_network,
    affine_to_network,
    field_from_network,
    field_to_network,
    read_npz,
    write_npz,
)

__all__ = [
    "AFFINE_ENDINGS",
    "WARP_ENDINGS",
    "Affine",
    "Composite",
    "DenseField",
    "Grid",
    "Transform",
    "affine_from_network",
    "affine_to_network",
    "check_affine",
    "check_transform_ending",
    "field_from_network",
    "field_to_network",
    "from_sitk",
    "from_sitk_transform",
    "grid_from_sitk",
    "network_grid",
    "read_displacement",
    "read_itk",
    "read_npz",
    "read_transform",
    "resample",
    "resample_label",
    "to_sitk",
    "to_sitk_transform",
    "write_displacement",
    "write_itk",
    "write_npz",
    "write_transform",
]
