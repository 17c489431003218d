"""Reading and writing images and label maps; every fault of a file becomes one line that names it.

NIfTI and FreeSurfer's MGH go through nibabel, voxelmorph's .npz through numpy; NRRD, MetaImage and DICOM series through
SimpleITK.
"""

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.resample import LARGEST_LABEL
from acsgreg_tf.io.dicom import read_dicom
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, ending_of, one_line
from acsgreg_tf.io.limits import check_metaimage, check_packed, check_voxels
from acsgreg_tf.io.nifti import check_end, load_nibabel, write_nifti
from acsgreg_tf.io.npz_volumes import read_npz
from acsgreg_tf.io.quiet import without_chatter
from acsgreg_tf.io.transforms.itk import from_sitk, to_sitk

__all__ = ["WRITABLE_ENDINGS", "Image", "as_image", "as_label", "read_image", "read_label", "write_image"]

# What is taken for a scan: edges of a voxel, its first voxel's distance from the origin, and its values.
VOXEL_MM = (0.01, 25.0)
FARTHEST_MM = 1e5
LARGEST_VALUE = 2.0**31

_NIFTI = (".nii", ".nii.gz")
_FREESURFER = (".mgz", ".mgh")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
# A detached header (.nhdr, .mhd) names its data file, which a rename would leave behind; so these two are read only.
WRITABLE_ENDINGS = (*_NIFTI, ".nrrd", ".mha")


@dataclass(frozen=True, eq=False)
class Image:
    """A volume in the world.

    Attributes:
        data: (X, Y, Z).
        grid: Where it lies, a Grid of the same shape.
        name: What messages call it, mostly its path.

    Raises:
        InputError: The shapes differ.
    """

    data: np.ndarray
    grid: Grid
    name: str = "image"

    def __post_init__(self) -> None:
        if self.data.shape != self.grid.shape:
            raise InputError(f"{self.name}: data of shape {self.data.shape} on a grid of shape {self.grid.shape}")


def read_image(path: str | os.PathLike) -> Image:
    """Read an intensity image.

    Args:
        path: A .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .mgz, .mgh or voxelmorph's .npz file (`io.npz_volumes`), or a
            folder that holds one DICOM series.

    Returns:
        An Image with float32 data, the header's slope and intercept applied. Trailing axes of length 1 are dropped.
        A NIfTI's sform goes before its qform, as in nibabel; where the two disagree by more than a tenth of a voxel,
        or neither is set, one warning reports it.

    Raises:
        InputError: In one line that names the file: it is missing, unreadable, cut short or of an unknown ending; it
            is no 3-D volume of at least two voxels a side; it holds colours, complex numbers, NaN or infinite voxels,
            or nothing but zeros; its affine is singular; the folder holds no series, several, or slices that are not
            evenly stacked.
    """
    return _as_intensities(_read(path))


def read_label(path: str | os.PathLike) -> Image:
    """Read a label map; as `read_image`, but `data` are integers and an empty map is allowed.

    Args:
        path: As for `read_image`.

    Raises:
        InputError: As for `read_image`, or the voxels are not whole numbers from 0 to a million.
    """
    return _as_labels(_read(path))


def as_image(source: Any) -> Image:
    """An intensity Image from a path, a nibabel or SimpleITK image, or an Image; checks as `read_image`."""
    return _as_intensities(_take(source))


def as_label(source: Any) -> Image:
    """A label Image from a path, a nibabel or SimpleITK image, or an Image; checks as `read_label`."""
    return _as_labels(_take(source))


def write_image(
    path: str | os.PathLike, data: np.ndarray, grid: Grid, dtype: np.typing.DTypeLike | None = None
) -> None:
    """Write a volume; whole or not at all.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd or .mha. NIfTI files get the affine as sform and qform, both with code 1.
        data: (X, Y, Z).
        grid: Its Grid.
        dtype: What to store. By default booleans become uint8, other integers keep their width up to 32 bits and
            floating-point numbers become float32. Floating-point data stored as integers are rounded and clipped.

    Raises:
        InputError: The ending is unknown, or the folder does not exist or cannot be written.
    """
    ending = ending_of(path)
    if ending not in WRITABLE_ENDINGS:
        raise InputError(f"{path}: images are written as {', '.join(WRITABLE_ENDINGS)}, not as {ending or 'this'}")
    data = _stored(np.asarray(data), dtype)
    Image(data, grid, str(path))
    if ending in _NIFTI:
        image = nib.Nifti1Image(data, grid.affine)
        image.set_sform(grid.affine, code=1)
        image.set_qform(grid.affine, code=1)
        image.header.set_xyzt_units("mm")
        write_nifti(path, image)
        return
    with atomic_path(path) as temporary:
        try:
            sitk.WriteImage(to_sitk(data, grid), str(temporary), useCompression=True)
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be written ({one_line(error)})") from error


def _stored(data: np.ndarray, dtype: np.typing.DTypeLike | None) -> np.ndarray:
    if dtype is None:
        if data.dtype == bool:
            dtype = np.uint8
        elif np.issubdtype(data.dtype, np.floating):
            dtype = np.float32
        else:
            dtype = data.dtype if data.dtype.itemsize <= 4 else np.int32
    dtype = np.dtype(dtype)
    if np.issubdtype(dtype, np.integer) and not np.can_cast(data.dtype, dtype):
        limits = np.iinfo(dtype)
        data = np.clip(np.rint(data), limits.min, limits.max)
    return data.astype(dtype, copy=False)


def _take(source: Any) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _read(source)
    if isinstance(source, sitk.Image):
        return _from_itk(source, "SimpleITK image")
    if isinstance(source, nib.spatialimages.SpatialImage):
        return _from_nibabel(source, source.get_filename() or "nibabel image")
    raise InputError(f"an image must be a path, a nibabel or SimpleITK image, or an Image, got {type(source).__name__}")


def _read(source: str | os.PathLike) -> Image:
    if not os.fspath(source):
        raise InputError("an image's path is empty")
    path = Path(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        return _from_itk(read_dicom(path), str(path))
    ending = ending_of(path)
    if ending == ".npz":
        data, grid = read_npz(path)
        _check_place(grid, str(path))
        return Image(data, grid, str(path))
    if ending not in (*_NIFTI, *_FREESURFER, *_ITK):
        known = ", ".join((*_NIFTI, *_ITK, *_FREESURFER, ".npz"))
        raise InputError(f"{path}: unknown ending; images are {known}, or a folder with one DICOM series")
    try:
        with without_chatter():
            image: Any = _load_itk(path) if ending in _ITK else _load_nibabel(path, ending)
    except InputError:
        raise
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    return _from_itk(image, str(path)) if ending in _ITK else _from_nibabel(image, str(path))


def _load_nibabel(path: Path, ending: str) -> Any:
    """The image, whose voxels are read later; no larger than its file can be."""
    image = load_nibabel(path)
    content = math.prod(image.shape) * image.get_data_dtype().itemsize
    check_packed(path, content, path.stat().st_size, packed=ending in (".nii.gz", ".mgz"))
    return image


def _load_itk(path: Path) -> sitk.Image:
    if path.suffix.lower() in (".mha", ".mhd"):
        check_metaimage(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    check_voxels(path, reader.GetSize())
    if path.suffix.lower() in (".nrrd", ".mha"):  # the data of the others lie beside them
        check_packed(path, math.prod(reader.GetSize()), path.stat().st_size)
    try:
        return reader.Execute()
    except RuntimeError as error:
        if path.suffix.lower() == ".mha" and "No such file" in str(error):  # as MetaIO says of data that end too soon
            raise InputError(f"{path}: cannot be read (it ends before its data do)") from error
        raise


def _from_itk(image: sitk.Image, name: str) -> Image:
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{name}: voxels must be plain numbers, not {image.GetPixelIDTypeAsString()}")
    shape = image.GetSize()
    while len(shape) > 3 and shape[-1] == 1:
        image = image[(slice(None),) * (len(shape) - 1) + (0,)]
        shape = image.GetSize()
    _check_shape(shape, name)
    try:
        data, grid = from_sitk(image)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    _check_place(grid, name)
    return Image(data, grid, name)


def _from_nibabel(image: Any, name: str) -> Image:
    dtype = image.get_data_dtype()
    if dtype.fields is not None or np.issubdtype(dtype, np.complexfloating):
        raise InputError(f"{name}: voxels must be plain numbers, not {dtype}")
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    _check_shape(shape, name)
    try:
        grid = Grid(shape, image.affine)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    _check_place(grid, name)
    _check_forms(image, grid, name)
    try:
        data = np.asanyarray(image.dataobj).reshape(shape)
        check_end(image)
    except READ_FAULTS as error:
        raise InputError(f"{name}: cannot be read ({one_line(error)})") from error
    return Image(data, grid, name)


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 3:
        raise InputError(f"{name}: a 3-D volume is needed, got {len(shape)}-D, shape {tuple(shape)}")
    check_voxels(name, shape)
    if min(shape) < 2:
        raise InputError(f"{name}: a volume needs at least 2 voxels along every axis, got shape {tuple(shape)}")


def _check_place(grid: Grid, name: str) -> None:
    """Refuse a grid that no scanner makes, from its header, before anything of its size is computed."""
    least, most = VOXEL_MM
    if grid.spacing.min() < least or grid.spacing.max() > most:
        size = " x ".join(f"{side:.3g}" for side in grid.spacing)
        raise InputError(f"{name}: voxels of {size} mm, not {least:g} to {most:g}; is the header in other units?")
    if np.abs(grid.affine[:3, 3]).max() > FARTHEST_MM:
        raise InputError(f"{name}: lies more than {FARTHEST_MM:g} mm from the scanner's origin; is the header damaged?")


def _check_forms(image: Any, grid: Grid, name: str) -> None:
    """Warn where a NIfTI's sform and qform disagree, or neither is set."""
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti2Image)):
        return
    sform = image.get_sform(coded=True)[0]
    try:
        qform = image.get_qform(coded=True)[0]
    except READ_FAULTS:  # an invalid quaternion; the sform, if there is one, is used anyway
        qform = None
    if sform is None and qform is None:
        warnings.warn(f"{name}: neither sform nor qform is set, left and right are nibabel's guess", stacklevel=5)
    elif sform is not None and qform is not None:
        try:
            same = grid.isclose(Grid(grid.shape, qform), tolerance=0.1)
        except InputError:
            same = False
        if not same:
            warnings.warn(f"{name}: sform and qform disagree, the sform is used", stacklevel=5)


def _check_finite(image: Image) -> None:
    if np.issubdtype(image.data.dtype, np.floating):
        bad = image.data.size - int(np.count_nonzero(np.isfinite(image.data)))
        if bad:
            raise InputError(f"{image.name}: {bad} of {image.data.size} voxels are NaN or infinite")
    largest = max(float(image.data.max()), -float(image.data.min()))
    if largest > LARGEST_VALUE:
        raise InputError(
            f"{image.name}: holds values up to {largest:.3g}; no CT or label map has more than {LARGEST_VALUE:g}"
        )


def _as_intensities(image: Image) -> Image:
    _check_finite(image)
    if not image.data.any():
        raise InputError(f"{image.name}: every voxel is zero")
    return Image(np.asarray(image.data, dtype=np.float32), image.grid, image.name)


def _as_labels(image: Image) -> Image:
    _check_finite(image)
    data = image.data
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif np.issubdtype(data.dtype, np.floating):
        whole = np.rint(data)
        # A header's slope leaves the last digits of a whole number wrong.
        if not np.allclose(data, whole, rtol=0, atol=1e-3):
            raise InputError(f"{image.name}: label maps must hold whole numbers, and this one holds fractions")
        data = whole.astype(np.int64)
    if data.min() < 0:
        raise InputError(f"{image.name}: holds the number {data.min()}, so it is no label map; is it a CT?")
    # What follows takes time and memory for every number up to the largest.
    if data.max() > LARGEST_LABEL:
        raise InputError(f"{image.name}: label {data.max()}: a label map's values may be at most {LARGEST_LABEL}")
    if data.dtype == np.int64:
        data = data.astype(np.int32)
    return Image(data.astype(data.dtype.newbyteorder("="), copy=False), image.grid, image.name)
