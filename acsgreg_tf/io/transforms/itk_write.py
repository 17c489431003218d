"""Writing of ITK's transform files.

HDF5 is packed with gzip, which ITK reads but SimpleITK cannot write. It writes a file with a small field in the place
of each displacement field, from which all else is copied; the fields themselves are packed and written here.
"""

import io
import os
from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Composite, DenseField, Transform
from acsgreg_tf.io.files import atomic_path, ending_of, one_line
from acsgreg_tf.io.transforms.itk import FLIP_VECTORS, HDF5, RAS_TO_LPS, rounded, to_sitk_transform

__all__ = ["write_itk"]


# Of a small field; no other transform has as many parameters.
_SHAPE = (2, 2, 2)
_PARAMETERS = 24
_NAME = "TransformParameters"


def write_itk(path: str | os.PathLike, transform: Transform) -> None:
    """Write an ITK transform file: .h5 or .hdf5 for any transform, .tfm, .txt or .mat for an Affine.

    ITK, ANTs and 3D Slicer resample the moving image onto the fixed one with it as it is.

    Args:
        path: The ending decides.
        transform: A Transform. In .h5 its parts stay apart, each displacement field on its own grid, compressed and to
            1/4096 mm.

    Raises:
        InputError: The place cannot be written.
    """
    write = _write_hdf5 if ending_of(path) in HDF5 else _write_whole
    with atomic_path(path) as temporary:
        try:
            write(str(temporary), transform)
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be written ({one_line(error)})") from error


def _write_whole(path: str, transform: Transform) -> None:
    sitk.WriteTransform(to_sitk_transform(transform), path)


def _write_hdf5(path: str, transform: Transform) -> None:
    fields: list[DenseField] = []
    frame, packed = f"{path}.frame.h5", io.BytesIO()
    try:
        _write_whole(frame, _framed(transform, fields))
        # In memory: where the disk is full, HDF5 crashes when it closes its file.
        with h5py.File(frame) as old, h5py.File(packed, "w") as new:
            written: dict[int, str] = {}
            old.visititems(lambda name, item: _copy(new, name, item, fields, written))
    finally:
        Path(frame).unlink(missing_ok=True)
    Path(path).write_bytes(packed.getbuffer())


def _framed(transform: Transform, fields: list[DenseField]) -> Transform:
    """The transform with small fields whose value is the place of the real one in `fields`."""
    if isinstance(transform, Composite):
        return Composite([_framed(part, fields) for part in transform.parts])
    if not isinstance(transform, DenseField):
        return transform
    places = [place for place, field in enumerate(fields) if field is transform]
    if not places:
        fields.append(transform)
    place = places[0] if places else len(fields) - 1
    return DenseField(np.full((*_SHAPE, 3), place, np.float32), Grid(_SHAPE, np.eye(4)))


def _copy(
    new: h5py.File, name: str, item: h5py.Group | h5py.Dataset, fields: list[DenseField], written: dict[int, str]
) -> None:
    """Copy one item, or write that of the real field; `written` says where each field's parameters are."""
    if isinstance(item, h5py.Group):
        new.require_group(name)
        return
    parameters = item.parent.get(_NAME)
    if parameters is None or parameters.size != _PARAMETERS or name.endswith("Type"):
        item.file.copy(item, new, name)
        return
    place = int(parameters[2])
    if not name.endswith(f"/{_NAME}"):
        new.create_dataset(name, data=_fixed_parameters(fields[place].grid))
    elif place in written:
        new.copy(written[place], name)  # which packs nothing anew
    else:
        new.create_dataset(name, data=_parameters(fields[place]), compression=1, shuffle=True)
        written[place] = name


def _fixed_parameters(grid: Grid) -> np.ndarray:
    """Size, origin, spacing and direction of a field's grid, as ITK has them."""
    affine = RAS_TO_LPS @ grid.affine
    return np.concatenate([grid.shape, affine[:3, 3], grid.spacing, (affine[:3, :3] / grid.spacing).ravel()])


def _parameters(field: DenseField) -> np.ndarray:
    """The vectors in LPS mm, x fastest."""
    vectors = rounded(field.displacement * FLIP_VECTORS)
    return vectors.transpose(2, 1, 0, 3).ravel().astype(np.float64)
