"""Affines as numpy's .npy: the 4x4 matrix in RAS mm."""

import os

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.transforms import Affine
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, one_line

__all__ = ["read_npy", "write_npy"]


def write_npy(path: str | os.PathLike, affine: Affine) -> None:
    """Write the matrix of an Affine.

    Raises:
        InputError: The place cannot be written.
    """
    with atomic_path(path) as temporary:
        np.save(temporary, affine.matrix)


def read_npy(path: str | os.PathLike) -> Affine:
    """Read a 4x4 matrix as an Affine.

    Raises:
        InputError: Naming the file, when it holds no invertible 4x4 matrix.
    """
    try:
        matrix = np.load(path, allow_pickle=False)
        if matrix.dtype.kind not in "fiu":
            raise InputError(f"real numbers are needed, not {matrix.dtype}")
        return Affine(matrix)
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as a 4x4 affine ({one_line(error)})") from error
