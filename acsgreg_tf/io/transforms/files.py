"""Reads and writes transform files; the ending decides the format, and `FORMATS` lists them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Affine, Composite, Transform
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.transforms.itk import read_displacement, read_itk, write_displacement
from acsgreg_tf.io.transforms.itk_write import write_itk
from acsgreg_tf.io.transforms.mat import read_mat
from acsgreg_tf.io.transforms.npy import read_npy, write_npy
from acsgreg_tf.io.transforms.vxm import read_npz, write_npz

__all__ = [
    "AFFINE_ENDINGS",
    "FORMATS",
    "WARP_ENDINGS",
    "Format",
    "check_transform_ending",
    "read_transform",
    "write_transform",
]


@dataclass(frozen=True)
class Format:
    """One outside format; its module does the reading and writing.

    Attributes:
        endings: Of its files, in lower case.
        read: Called as `read(path, grid)`; returns a Transform.
        write: Called as `write(path, transform, grid)`.
        affine_only: Whether it holds an affine and nothing else; `write` then gets an Affine.
        needs_grid: Whether `write` samples the transform on the fixed grid.
    """

    endings: tuple[str, ...]
    read: Callable
    write: Callable
    affine_only: bool = False
    needs_grid: bool = False


FORMATS = (
    Format((".h5", ".hdf5"), lambda path, grid: read_itk(path), lambda path, full, grid: write_itk(path, full)),
    Format((".nii.gz", ".nii"), lambda path, grid: read_displacement(path), write_displacement, needs_grid=True),
    Format((".npz",), read_npz, write_npz, needs_grid=True),
    Format(
        (".tfm", ".txt"),
        lambda path, grid: read_itk(path),
        lambda path, affine, grid: write_itk(path, affine),
        affine_only=True,
    ),
    Format(
        (".mat",),
        lambda path, grid: read_mat(path),
        lambda path, affine, grid: write_itk(path, affine),
        affine_only=True,
    ),
    Format(
        (".npy",),
        lambda path, grid: read_npy(path),
        lambda path, affine, grid: write_npy(path, affine),
        affine_only=True,
    ),
)
WARP_ENDINGS = tuple(ending for form in FORMATS if not form.affine_only for ending in form.endings)
AFFINE_ENDINGS = tuple(ending for form in FORMATS if form.affine_only for ending in form.endings)


def write_transform(path: str | os.PathLike, transform: Transform, grid: Grid | None = None) -> None:
    """Write a transform; whole or not at all.

    `.h5`, `.hdf5`: ITK composite, every part for itself. `.nii.gz`, `.nii`: total displacement as ITK and ANTs read it.
    `.npz`: total displacement as voxelmorph writes it. `.tfm`, `.txt`, `.mat`: ITK affine. `.npy`: 4x4 matrix, RAS mm.

    Args:
        path: The file.
        transform: A Transform, fixed -> moving.
        grid: The fixed Grid, on which total displacements are sampled; needed for .nii.gz, .nii and .npz.

    Raises:
        InputError: The ending is unknown, an affine's ending for a transform that is no affine, no grid where one is
            needed, or the place cannot be written.
    """
    form = _format_of(path)
    if form.affine_only:
        transform = _as_affine(path, transform)
    if form.needs_grid and grid is None:
        raise InputError(f"{path}: a displacement needs the grid of the fixed image")
    form.write(path, transform, grid)


def read_transform(path: str | os.PathLike, grid: Grid | None = None) -> Transform:
    """Read what `write_transform` writes, and what ITK, ANTs, 3D Slicer and voxelmorph write in these formats.

    Args:
        path: The file.
        grid: The fixed Grid; only a voxelmorph .npz without `affine` needs it.

    Returns:
        An Affine, DenseField or Composite, fixed RAS mm -> moving RAS mm (or moving -> fixed if an inverse was
        written). Displacement fields read from files have no inverse of their own.

    Raises:
        InputError: Naming the file: it is missing, of an unknown ending, unreadable, or of another kind.
    """
    form = _format_of(path)
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    return form.read(path, grid)


def check_transform_ending(path: str | os.PathLike, endings: tuple[str, ...] = WARP_ENDINGS + AFFINE_ENDINGS) -> str:
    """The ending of a transform file, in lower case.

    Args:
        path: The file.
        endings: Those allowed, e.g. `WARP_ENDINGS` or `AFFINE_ENDINGS`.

    Raises:
        InputError: The path ends otherwise.
    """
    ending = ending_of(path)
    if ending not in endings:
        raise InputError(f"{path}: unknown ending; this transform file must be one of {', '.join(endings)}")
    return ending


def _format_of(path: str | os.PathLike) -> Format:
    ending = check_transform_ending(path)
    return next(form for form in FORMATS if ending in form.endings)


def _as_affine(path: str | os.PathLike, transform: Transform) -> Affine:
    parts = transform.parts if isinstance(transform, Composite) else (transform,)
    matrix = np.eye(4)
    for part in parts:
        if not isinstance(part, Affine):
            raise InputError(f"{path}: holds an affine only, and this transform bends; use {', '.join(WARP_ENDINGS)}")
        matrix = part.matrix @ matrix
    return Affine(matrix)
