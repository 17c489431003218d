"""ITK's conventions and files, and the only place where LPS and RAS meet.

ITK, SimpleITK, ANTs and 3D Slicer's files hold LPS mm; everything else in this package holds RAS mm. A point,
a displacement or an affine changes over by the same flip of x and y.
"""

import math
import os

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Affine, Composite, DenseField, Transform
from acsgreg_tf.io.files import READ_FAULTS, ending_of, one_line
from acsgreg_tf.io.hdf5 import check_hdf5
from acsgreg_tf.io.isolated import call_isolated
from acsgreg_tf.io.limits import check_packed, check_voxels
from acsgreg_tf.io.nifti import check_end, load_nibabel, write_nifti
from acsgreg_tf.io.quiet import without_chatter

# The flip of x and y, from RAS to LPS and back.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FLIP_VECTORS = np.array([-1, -1, 1], np.float32)
_VECTOR = 1007  # NIFTI_INTENT_VECTOR
HDF5 = (".h5", ".hdf5")
# Displacements are written to multiples of this, exact in binary: a hundredth of what any inverse misses by.
FIELD_STEP_MM = 2.0**-12


def grid_from_sitk(image: sitk.Image) -> Grid:
    """The Grid of a 3-D SimpleITK image.

    Raises:
        InputError: The image is not 3-D.
    """
    if image.GetDimension() != 3:
        raise InputError(f"a 3-D image is needed, got {image.GetDimension()}-D")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Grid(image.GetSize(), RAS_TO_LPS @ affine)


def from_sitk(image: sitk.Image) -> tuple[np.ndarray, Grid]:
    """A 3-D SimpleITK image as (data (X, Y, Z) or (X, Y, Z, C) for vectors, Grid)."""
    grid = grid_from_sitk(image)
    data = sitk.GetArrayFromImage(image)
    return np.moveaxis(data, (0, 1, 2), (2, 1, 0)), grid


def to_sitk(data: np.ndarray, grid: Grid) -> sitk.Image:
    """A volume (X, Y, Z), or vectors (X, Y, Z, C), on `grid` as a SimpleITK image. The data are copied."""
    data = np.asarray(data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    image = sitk.GetImageFromArray(np.moveaxis(data, (0, 1, 2), (2, 1, 0)), isVector=data.ndim == 4)
    affine = RAS_TO_LPS @ grid.affine
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / grid.spacing).ravel().tolist())
    return image


def to_sitk_transform(transform: Transform) -> sitk.Transform:
    """An Affine, DenseField or Composite as a SimpleITK transform, its parts kept apart and in order."""
    if isinstance(transform, Affine):
        matrix = RAS_TO_LPS @ transform.matrix @ RAS_TO_LPS
        return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    if isinstance(transform, DenseField):
        vectors = np.multiply(transform.displacement, FLIP_VECTORS, dtype=np.float64)
        return sitk.DisplacementFieldTransform(to_sitk(vectors, transform.grid))
    if not isinstance(transform, Composite):
        raise TypeError(f"a {type(transform).__name__} has no counterpart in ITK")
    # A part that comes twice is made once. ITK applies the transform that was added last first.
    distinct = {id(part): part for part in transform.parts}
    made = {key: to_sitk_transform(part) for key, part in distinct.items()}
    return sitk.CompositeTransform([made[id(part)] for part in reversed(transform.parts)])


def from_sitk_transform(transform: sitk.Transform) -> Transform:
    """A 3-D SimpleITK transform as an Affine, DenseField or Composite.

    Raises:
        InputError: It is not 3-D, or neither linear, a displacement field nor a composite of such.
    """
    if transform.GetDimension() != 3:
        raise InputError(f"a 3-D transform is needed, got {transform.GetDimension()}-D")
    transform = transform.Downcast()
    if isinstance(transform, sitk.CompositeTransform):
        count = transform.GetNumberOfTransforms()
        return Composite([from_sitk_transform(transform.GetNthTransform(n)) for n in reversed(range(count))])
    if isinstance(transform, sitk.DisplacementFieldTransform):
        vectors, grid = from_sitk(transform.GetDisplacementField())
        return DenseField(vectors * (-1, -1, 1), grid)
    if transform.IsLinear():
        matrix = np.eye(4)
        matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
        for axis in range(3):
            matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
        return Affine(RAS_TO_LPS @ matrix @ RAS_TO_LPS)
    raise InputError(f"transforms of type {transform.GetName()} are not supported, only affine and displacement field")


def read_itk(path: str | os.PathLike) -> Transform:
    """Read a .h5, .hdf5, .tfm or .txt transform of ITK, ANTs or 3D Slicer.

    Returns:
        An Affine, DenseField or Composite; fields have no inverse of their own.

    Raises:
        InputError: Naming the file, when it is no ITK transform or of a kind that is not supported.
    """
    if ending_of(path) in HDF5:
        return call_isolated(_read_hdf5, path)
    return _read_itk(path)


def _read_hdf5(path: str | os.PathLike) -> Transform:
    check_hdf5(path)
    return _read_itk(path)


def _read_itk(path: str | os.PathLike) -> Transform:
    try:
        return from_sitk_transform(sitk.ReadTransform(str(path)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as an ITK transform ({one_line(error)})") from error


def write_displacement(path: str | os.PathLike, transform: Transform, grid: Grid) -> None:
    """Write the total displacement as the NIfTI that ITK and ANTs read as a warp.

    Shape (X, Y, Z, 1, 3), float32, to 1/4096 mm, intent 1007 (vector), LPS mm, the grid's affine as sform and qform.
    Intent 1006 (displacement) would make ITK and ANTs flip x and y once more.

    Args:
        path: Ends in .nii.gz or .nii.
        transform: A Transform.
        grid: The fixed Grid; beyond it, readers take the displacement as zero.

    Raises:
        InputError: The place cannot be written.
    """
    vectors = rounded(transform.to_displacement(grid).displacement * FLIP_VECTORS).astype(np.float32)
    image = nib.Nifti1Image(vectors[:, :, :, None], grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm")
    write_nifti(path, image)


def read_displacement(path: str | os.PathLike) -> DenseField:
    """Read such a NIfTI, of this package or of ANTs, as a DenseField without an inverse of its own.

    Raises:
        InputError: Naming the file, when it is unreadable or no (X, Y, Z, 1, 3) vector image.
    """
    try:
        with without_chatter():
            image = load_nibabel(path)
        intent = int(image.header["intent_code"])
        if len(image.shape) != 5 or image.shape[3:] != (1, 3) or intent != _VECTOR:
            raise InputError(
                f"a displacement field must have shape (X, Y, Z, 1, 3) and intent {_VECTOR}, "
                f"got {image.shape} and {intent}"
            )
        dtype = image.get_data_dtype()
        if dtype.fields is not None or dtype.kind not in "fiu":
            raise InputError(f"a displacement field must hold real numbers, not {dtype}")
        check_voxels("the field", image.shape[:3])
        content = math.prod(image.shape) * dtype.itemsize
        check_packed("the field", content, os.path.getsize(path), ending_of(path) == ".nii.gz")
        vectors = image.get_fdata(dtype=np.float32)[:, :, :, 0] * FLIP_VECTORS
        check_end(image)
        return DenseField(vectors, Grid(vectors.shape[:3], image.affine))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as a displacement field ({one_line(error)})") from error


def rounded(millimetres: np.ndarray) -> np.ndarray:
    """A displacement without the digits that mean nothing: what is left packs twice as small."""
    return np.round(millimetres / FIELD_STEP_MM) * FIELD_STEP_MM
