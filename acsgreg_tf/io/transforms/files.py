"""Transform files: the ending decides the format."""

from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.transforms import Affine, Composite
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, ending_of, one_line
from acsgreg_tf.io.transforms.itk import read_displacement, read_itk, write_displacement, write_itk
from acsgreg_tf.io.transforms.vxm import read_npz, write_npz

WARP_ENDINGS = (".h5", ".hdf5", ".nii.gz", ".nii", ".npz")
AFFINE_ENDINGS = (".tfm", ".txt", ".npy")


def write_transform(path, transform, grid=None):
    """Write a transform; whole or not at all.

    `.h5`, `.hdf5`: ITK composite, every part for itself. `.nii.gz`, `.nii`: total displacement as ITK and
    ANTs read it. `.npz`: total displacement as voxelmorph writes it. `.tfm`, `.txt`: ITK affine. `.npy`: 4x4
    matrix in RAS mm.

    Args:
        path: where to.
        transform: a Transform, fixed -> moving.
        grid: the fixed Grid, which the total displacements are sampled on; needed for .nii.gz, .nii and .npz.

    Raises:
        InputError: the ending is unknown, an affine ending is given a transform that is no affine, a
            displacement ending is given no grid, or the place cannot be written.
    """
    ending = check_transform_ending(path)
    if ending in AFFINE_ENDINGS:
        affine = _as_affine(path, transform)
        if ending == ".npy":
            with atomic_path(path) as temporary:
                np.save(temporary, affine.matrix)
        else:
            write_itk(path, affine)
    elif ending in (".h5", ".hdf5"):
        write_itk(path, transform)
    elif grid is None:
        raise InputError(f"{path}: a displacement needs the grid of the fixed image")
    elif ending == ".npz":
        write_npz(path, transform, grid)
    else:
        write_displacement(path, transform, grid)


def read_transform(path, grid=None):
    """Read what `write_transform` writes, and what ITK, ANTs, 3D Slicer and voxelmorph write in these
    formats.

    Args:
        path: the file.
        grid: the fixed Grid; only a voxelmorph .npz without `affine` needs it.

    Returns:
        An Affine, DenseField or Composite, fixed RAS mm -> moving RAS mm (or moving -> fixed if an inverse
        was written). Displacement fields read from files have no inverse of their own.

    Raises:
        InputError: naming the file: it is missing, of an unknown ending, unreadable, or of another kind.
    """
    ending = check_transform_ending(path)
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    if ending in (".nii.gz", ".nii"):
        return read_displacement(path)
    if ending == ".npz":
        return read_npz(path, grid)
    if ending != ".npy":
        return read_itk(path)
    try:
        return Affine(np.load(path, allow_pickle=False))
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as a 4x4 affine ({one_line(error)})") from error


def check_transform_ending(path, endings=WARP_ENDINGS + AFFINE_ENDINGS):
    """The ending of a transform file, in lower case.

    Args:
        path: the file.
        endings: those allowed, e.g. `WARP_ENDINGS` or `AFFINE_ENDINGS`.

    Raises:
        InputError: the path ends otherwise.
    """
    ending = ending_of(path)
    if ending not in endings:
        raise InputError(f"{path}: unknown ending; this transform file must be one of {', '.join(endings)}")
    return ending


def _as_affine(path, transform):
    parts = transform.parts if isinstance(transform, Composite) else (transform,)
    if not all(isinstance(part, Affine) for part in parts):
        raise InputError(f"{path}: holds an affine only, and this transform bends; use {', '.join(WARP_ENDINGS)}")
    matrix = np.eye(4)
    for part in parts:
        matrix = part.matrix @ matrix
    return Affine(matrix)
