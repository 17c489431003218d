"""ITK's habits, and the only place where LPS and RAS meet.

ITK, SimpleITK, ANTs and 3D Slicer's files hold LPS mm; everything else in this package holds RAS mm. A point, a
displacement or an affine changes over by the same flip of x and y.
"""

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid_from_sitk(image):
    """The Grid of a 3-D SimpleITK image.

    Raises:
        InputError: the image is not 3-D.
    """
    if image.GetDimension() != 3:
        raise InputError(f"a 3-D image is needed, got {image.GetDimension()}-D")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Grid(image.GetSize(), _FLIP @ affine)


def from_sitk(image):
    """A 3-D SimpleITK image as (data (X, Y, Z) or (X, Y, Z, C) for vectors, Grid)."""
    grid = grid_from_sitk(image)
    data = sitk.GetArrayFromImage(image)
    return np.moveaxis(data, (0, 1, 2), (2, 1, 0)), grid


def to_sitk(data, grid):
    """A volume (X, Y, Z), or vectors (X, Y, Z, C), on `grid` as a SimpleITK image. The data are copied."""
    data = np.asarray(data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    image = sitk.GetImageFromArray(np.moveaxis(data, (0, 1, 2), (2, 1, 0)), isVector=data.ndim == 4)
    affine = _FLIP @ grid.affine
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / grid.spacing).ravel().tolist())
    return image
