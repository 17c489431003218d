"""Distances between the surfaces of two label volumes, mm."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import cKDTree

from acsgreg_tf.geometry.boxes import bounding_box, ends
from acsgreg_tf.metrics.checks import check_labels, check_spacing


class SurfaceDistance(NamedTuple):
    """Average symmetric surface distance and 95th percentile of the border distances, mm."""

    assd: float
    hd95: float


def surface_distances(fixed: ArrayLike, moved: ArrayLike, *, spacing: ArrayLike) -> np.ndarray:
    """Distances from each border voxel of one label to the nearest of the other, both ways, pooled.

    A border voxel is an object voxel with a face neighbour that is background or outside the volume, as in
    MedPy. `assd` and `hd95` are its mean and its 95th percentile (Heimann et al., IEEE TMI 2009).

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.
        spacing: Size of a voxel in mm, three numbers.

    Returns:
        (N,) float64, mm: first the fixed border's distances, then the moved border's. Empty if both labels
        are empty; the other border's distances are all infinite if one is.

    Raises:
        InputError: The shapes differ, a label holds fractional values, or the spacing is not three positive
            numbers.
    """
    spacing = check_spacing(spacing)
    borders = [_border(label) * spacing for label in check_labels(fixed, moved)]
    # Exact nearest neighbours between the two thin borders cost a fraction of two distance transforms.
    trees = [cKDTree(border) if len(border) else None for border in borders]
    there, back = (
        np.full(len(points), np.inf) if tree is None or not len(points) else tree.query(points)[0]
        for points, tree in zip(borders, trees[::-1])
    )
    return np.concatenate([there, back])


def surface_distance(fixed: ArrayLike, moved: ArrayLike, *, spacing: ArrayLike) -> SurfaceDistance:
    """`assd` and `hd95` from one list of border distances, which is what takes the time.

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.
        spacing: Size of a voxel in mm, three numbers.

    Returns:
        (assd, hd95) in mm; both NaN if both labels are empty, infinity if one is.

    Raises:
        InputError: As `surface_distances`.
    """
    distances = surface_distances(fixed, moved, spacing=spacing)
    if not distances.size:
        return SurfaceDistance(float("nan"), float("nan"))
    # interpolating between infinities would give NaN
    hd95 = np.percentile(distances, 95) if np.isfinite(distances).all() else np.inf
    return SurfaceDistance(float(distances.mean()), float(hd95))


def assd(fixed: ArrayLike, moved: ArrayLike, *, spacing: ArrayLike) -> float:
    """Average symmetric surface distance, mm: the mean of the two pooled directed lists of border distances.

    Pooling weights each border voxel alike (Heimann et al., IEEE TMI 2009; MedPy's ``assd``); averaging the
    two directed means, as other libraries do, gives another number.

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.
        spacing: Size of a voxel in mm, three numbers.

    Returns:
        float, mm; NaN if both labels are empty, infinity if one is.

    Raises:
        InputError: As `surface_distances`.
    """
    return surface_distance(fixed, moved, spacing=spacing).assd


def hd95(fixed: ArrayLike, moved: ArrayLike, *, spacing: ArrayLike) -> float:
    """95th percentile of the pooled border distances, mm: a Hausdorff distance that a few outliers cannot decide.

    Huttenlocher et al., IEEE TPAMI 1993; MedPy's ``hd95``. Other libraries take the larger of two directed percentiles.

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.
        spacing: Size of a voxel in mm, three numbers.

    Returns:
        float, mm; NaN if both labels are empty, infinity if one is.

    Raises:
        InputError: As `surface_distances`.
    """
    return surface_distance(fixed, moved, spacing=spacing).hd95


def _border(label: np.ndarray) -> np.ndarray:
    """Indices (N, 3) of the border voxels of a boolean volume."""
    box = bounding_box(label)
    label = label[box]
    return np.argwhere(label & ~ndimage.binary_erosion(label)) + ends(box)[0]
