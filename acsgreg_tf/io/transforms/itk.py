"""ITK's habits, and the only place where LPS and RAS meet.

ITK, SimpleITK, ANTs and 3D Slicer's files hold LPS mm; everything else in this package holds RAS mm. A point,
a displacement or an affine changes over by the same flip of x and y.
"""

import h5py
import nibabel as nib
import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Affine, Composite, DenseField
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, ending_of, one_line

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_VECTOR = 1007  # NIFTI_INTENT_VECTOR


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


def to_sitk_transform(transform):
    """An Affine, DenseField or Composite as a SimpleITK transform, its parts kept apart and in order."""
    if isinstance(transform, Affine):
        matrix = _FLIP @ transform.matrix @ _FLIP
        return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    if isinstance(transform, DenseField):
        vectors = transform.displacement.astype(np.float64) * (-1, -1, 1)
        return sitk.DisplacementFieldTransform(to_sitk(vectors, transform.grid))
    # ITK applies the transform that was added last first.
    return sitk.CompositeTransform([to_sitk_transform(part) for part in reversed(transform.parts)])


def from_sitk_transform(transform):
    """A 3-D SimpleITK transform as an Affine, DenseField or Composite.

    Raises:
        InputError: it is not 3-D, or neither linear, a displacement field nor a composite of such.
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
        return Affine(_FLIP @ matrix @ _FLIP)
    raise InputError(f"transforms of type {transform.GetName()} are not supported, only affine and displacement field")


def write_itk(path, transform):
    """Write an ITK transform file: .h5 or .hdf5 for any transform, .tfm or .txt for an Affine.

    ITK, ANTs and 3D Slicer resample the moving image onto the fixed one with it as it is.

    Args:
        path: the ending decides.
        transform: a Transform. In .h5 its parts stay apart, each displacement field on its own grid,
        compressed.

    Raises:
        InputError: the place cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            sitk.WriteTransform(to_sitk_transform(transform), str(temporary))
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be written ({one_line(error)})") from error
        if ending_of(path) in (".h5", ".hdf5"):
            _compress(temporary)


def read_itk(path):
    """Read a .h5, .hdf5, .tfm or .txt transform of ITK, ANTs or 3D Slicer.

    Returns:
        An Affine, DenseField or Composite; fields have no inverse of their own.

    Raises:
        InputError: naming the file, when it is no ITK transform or of a kind that is not supported.
    """
    try:
        return from_sitk_transform(sitk.ReadTransform(str(path)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as an ITK transform ({one_line(error)})") from error


def write_displacement(path, transform, grid):
    """Write the total displacement as the NIfTI that ITK and ANTs read as a warp.

    Shape (X, Y, Z, 1, 3), float32, intent 1007 (vector), LPS mm, the grid's affine as sform and qform. Intent
    1006 (displacement) would make ITK and ANTs flip x and y once more.

    Args:
        path: .nii.gz or .nii.
        transform: a Transform.
        grid: the fixed Grid; beyond it, readers take the displacement as zero.

    Raises:
        InputError: the place cannot be written.
    """
    vectors = transform.to_displacement(grid).displacement * np.float32([-1, -1, 1])
    image = nib.Nifti1Image(vectors[:, :, :, None], grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def read_displacement(path):
    """Read such a NIfTI, of this package or of ANTs, as a DenseField without an inverse of its own.

    Raises:
        InputError: naming the file, when it is unreadable or no (X, Y, Z, 1, 3) vector image.
    """
    try:
        image = nib.load(path)
        intent = int(image.header["intent_code"])
        if len(image.shape) != 5 or image.shape[3:] != (1, 3) or intent != _VECTOR:
            raise InputError(
                f"a displacement field must have shape (X, Y, Z, 1, 3) and intent {_VECTOR}, "
                f"got {image.shape} and {intent}"
            )
        vectors = image.get_fdata(dtype=np.float32)[:, :, :, 0] * np.float32([-1, -1, 1])
        return DenseField(vectors, Grid(vectors.shape[:3], image.affine))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as a displacement field ({one_line(error)})") from error


def _compress(path):
    """Rewrite an HDF5 transform with gzip inside, which ITK reads but SimpleITK cannot be asked to write."""
    with h5py.File(path, "r+") as file:
        for group in file["TransformGroup"].values():
            if "TransformParameters" in group and group["TransformParameters"].size > 1000:
                values = group["TransformParameters"][:]
                del group["TransformParameters"]
                group.create_dataset("TransformParameters", data=values, compression=1, shuffle=True)
