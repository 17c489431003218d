"""Transform files: one module an outside format, and the choice of one by a file's ending."""

from acsgreg_tf.io.transforms.files import (
    AFFINE_ENDINGS,
    FORMATS,
    WARP_ENDINGS,
    Format,
    check_transform_ending,
    read_transform,
    write_transform,
)
from acsgreg_tf.io.transforms.itk import (
    from_sitk,
    from_sitk_transform,
    grid_from_sitk,
    read_displacement,
    read_itk,
    to_sitk,
    to_sitk_transform,
    write_displacement,
)
from acsgreg_tf.io.transforms.itk_write import write_itk
from acsgreg_tf.io.transforms.npy import read_npy, write_npy
from acsgreg_tf.io.transforms.vxm import read_npz, write_npz

__all__ = [
    "AFFINE_ENDINGS",
    "FORMATS",
    "WARP_ENDINGS",
    "Format",
    "check_transform_ending",
    "from_sitk",
    "from_sitk_transform",
    "grid_from_sitk",
    "read_displacement",
    "read_itk",
    "read_npy",
    "read_npz",
    "read_transform",
    "to_sitk",
    "to_sitk_transform",
    "write_displacement",
    "write_itk",
    "write_npy",
    "write_npz",
    "write_transform",
]
