"""voxelmorph's .npz files of numpy arrays: `vol` and, in ours, `affine`."""

import functools
import os
import warnings
from typing import Any

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.io.files import READ_FAULTS, one_line
from acsgreg_tf.io.limits import check_packed, check_voxels


def read_npz(path: str | os.PathLike) -> tuple[np.ndarray, Grid]:
    """Read a volume as voxelmorph's scripts write it.

    Args:
        path: An .npz with `vol`, (X, Y, Z) or (X, Y, Z, 1), and optionally `affine`, 4x4, voxel to RAS mm. Without it
            voxels are taken for 1 mm along x (to the right), y (to the front) and z (up), the first at the origin; a
            warning says so, once a process.

    Returns:
        (data, grid).

    Raises:
        InputError: Naming the file, when it cannot be read or is no such volume.
    """
    try:
        arrays = npz_arrays(path)
    except InputError:
        raise
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    vol = arrays.get("vol")
    if vol is not None and vol.ndim == 4 and vol.shape[-1] == 1:
        vol = vol[..., 0]
    if vol is None or vol.ndim != 3 or min(vol.shape) < 2 or vol.dtype.kind not in "fiub":
        what = "none" if vol is None else f"{vol.dtype} of shape {vol.shape}"
        raise InputError(f"{path}: a volume must hold 'vol', real numbers of shape (X, Y, Z), got {what}")
    if "affine" not in arrays:
        _warn_once(path)
    try:
        return vol, Grid(vol.shape, arrays.get("affine", np.eye(4)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@functools.cache
def _warned() -> list[str]:
    return []


def _warn_once(path: str | os.PathLike) -> None:
    """Of the first file alone: a training list holds thousands."""
    if not _warned():
        _warned().append(str(path))
        warnings.warn(
            f"{path}: has no affine, so its voxels are taken for 1 mm along x (right), y (front) and z (up); so are "
            "those of every further such file",
            stacklevel=7,
        )


def npz_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays `vol` and `affine` of an .npz file, none larger than a file of this size can.

    Raises:
        InputError: Naming the file: it is no archive of arrays, or `affine` holds no real numbers.
    """
    size = os.path.getsize(path)
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise InputError(f"{path}: is one array (.npy), not an archive of arrays (.npz)")
    with archive as file:
        for member in file.zip.infolist():
            check_packed(path, member.file_size, size)
            if member.filename == "vol.npy":
                with file.zip.open(member) as header:
                    check_voxels(path, _shape(header)[:3])
        arrays = {name: file[name] for name in ("vol", "affine") if name in file}
    if "affine" in arrays and arrays["affine"].dtype.kind not in "fiu":
        raise InputError(f"{path}: 'affine' must hold real numbers, not {arrays['affine'].dtype}")
    return arrays


def _shape(file: Any) -> tuple[int, ...]:
    """The shape that a .npy file states in its header."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)[0]
