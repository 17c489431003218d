"""Reads affines that other tools call .mat: ITK's binary ones (ANTs), and 4x4 matrices as text (greedy, c3d)."""

import os
import warnings

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.transforms import Affine, Transform
from acsgreg_tf.io.transforms.itk import read_itk


def read_mat(path: str | os.PathLike) -> Transform:
    """Read a .mat file: what ANTs writes as `0GenericAffine.mat`, or greedy's and c3d's text, fixed -> moving, RAS mm.

    Raises:
        InputError: It is neither.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file, which is an error below
            matrix = np.loadtxt(path)
    except (ValueError, UnicodeDecodeError):
        return read_itk(path)
    try:
        return Affine(matrix)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
