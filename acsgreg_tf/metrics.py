"""Measures of a registration, in numpy and scipy only.

Overlap and surface distances compare two label volumes of one shape (X, Y, Z): ``fixed``, the target, and
``moved``, the moving label after warping. Nonzero voxels are the object. Labels warped with linear
interpolation have to be thresholded (at 0.5) first; fractional values are refused, because "nonzero" would
inflate the object.

Where a measure is not defined, two empty labels give NaN and a single empty label gives the worst value (0
for overlap, infinity for distances), so that a registration that lost its label cannot vanish from a mean.

Regularity measures take a displacement (X, Y, Z, 3) in voxels, pull direction: phi(x) = x + u(x).
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from acsgreg_tf.errors import InputError

__all__ = [
    "FoldedVolume",
    "Folds",
    "InverseConsistency",
    "SurfaceDistance",
    "assd",
    "dice",
    "folded_cells",
    "folds",
    "hd95",
    "inverse_consistency_error",
    "jacobian_determinant",
    "non_diffeomorphic_volume",
    "precision",
    "recall",
    "std_log_jacobian",
    "surface_distance",
    "surface_distances",
    "target_registration_error",
]


class SurfaceDistance(NamedTuple):
    """Average symmetric surface distance and 95th percentile of the border distances, mm."""

    assd: float
    hd95: float


class Folds(NamedTuple):
    """Lattice points with a non-positive Jacobian determinant."""

    count: int
    percent: float


class FoldedVolume(NamedTuple):
    """Non-diffeomorphic volume in voxels (times a voxel's volume: mm^3) and in percent of the domain."""

    volume: float
    percent: float


class InverseConsistency(NamedTuple):
    """Inverse-consistency error in mm over the voxels that could be measured."""

    mean: float
    maximum: float


# overlap


def dice(fixed, moved):
    """Dice coefficient 2 |F and W| / (|F| + |W|) (paper, Eq. 8; Dice, Ecology 1945).

    Args:
        fixed, moved: (X, Y, Z) labels, nonzero is the object.

    Returns:
        float in [0, 1]; NaN if both labels are empty, 0 if one is.

    Raises:
        InputError: the shapes differ, or a label holds fractional values.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(2 * overlap, size_fixed + size_moved, size_fixed + size_moved)


def precision(fixed, moved):
    """Precision |F and W| / |W|: the part of the warped label that is right (the paper's PREC; van Rijsbergen,
    Information Retrieval, 1979).

    Args, Raises: as `dice`. Returns a float in [0, 1]; NaN if both labels are empty, 0 if one is.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_moved, size_fixed + size_moved)


def recall(fixed, moved):
    """Recall |F and W| / |F|: the part of the fixed label that was found (the paper's REC; van Rijsbergen,
    Information Retrieval, 1979).

    Args, Raises: as `dice`. Returns a float in [0, 1]; NaN if both labels are empty, 0 if one is.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_fixed, size_fixed + size_moved)


def _overlap(fixed, moved):
    fixed, moved = _objects(fixed, moved)
    return np.count_nonzero(fixed & moved), np.count_nonzero(fixed), np.count_nonzero(moved)


def _ratio(part, whole, total):
    if total == 0:
        return float("nan")
    return float(part / whole) if whole else 0.0


# surface distance


def surface_distances(fixed, moved, *, spacing):
    """Distances from each border voxel of one label to the nearest of the other, both ways, pooled.

    A border voxel is an object voxel with a face neighbour that is background or outside the volume, as in
    MedPy. `assd` and `hd95` are its mean and its 95th percentile (Heimann et al., IEEE TMI 2009).

    Args:
        fixed, moved: (X, Y, Z) labels, nonzero is the object.
        spacing: size of a voxel in mm, three numbers.

    Returns:
        (N,) float64, mm: first the fixed border's distances, then the moved border's. Empty if both labels
        are empty; the other border's distances are all infinite if one is.

    Raises:
        InputError: the shapes differ, a label holds fractional values, or the spacing is not three positive
        numbers.
    """
    spacing = _check_spacing(spacing)
    borders = [_border(label) * spacing for label in _objects(fixed, moved)]
    # Exact nearest neighbours between the two thin borders cost a fraction of two distance transforms.
    trees = [cKDTree(border) if len(border) else None for border in borders]
    there, back = (
        np.full(len(points), np.inf) if tree is None or not len(points) else tree.query(points)[0]
        for points, tree in zip(borders, trees[::-1])
    )
    return np.concatenate([there, back])


def surface_distance(fixed, moved, *, spacing):
    """`assd` and `hd95` from one list of border distances, which is what takes the time.

    Args, Raises: as `surface_distances`. Returns a `SurfaceDistance` (assd, hd95) in mm; both NaN if both
    labels are empty, infinity if one is.
    """
    distances = surface_distances(fixed, moved, spacing=spacing)
    if not distances.size:
        return SurfaceDistance(float("nan"), float("nan"))
    # interpolating between infinities would give NaN
    hd95 = np.percentile(distances, 95) if np.isfinite(distances).all() else np.inf
    return SurfaceDistance(float(distances.mean()), float(hd95))


def assd(fixed, moved, *, spacing):
    """Average symmetric surface distance, mm: the mean of the two pooled directed lists of border distances.

    Pooling weights each border voxel alike (Heimann et al., IEEE TMI 2009; MedPy's ``assd``); averaging the
    two directed means, as other libraries do, gives another number.

    Args, Raises: as `surface_distances`. Returns a float; NaN if both labels are empty, infinity if one is.
    """
    return surface_distance(fixed, moved, spacing=spacing).assd


def hd95(fixed, moved, *, spacing):
    """95th percentile of the pooled border distances, mm: a Hausdorff distance (Huttenlocher et al., IEEE TPAMI
    1993) that a few outlying voxels cannot decide (MedPy's ``hd95``; other libraries take the larger of two
    directed percentiles).

    Args, Raises: as `surface_distances`. Returns a float; NaN if both labels are empty, infinity if one is.
    """
    return surface_distance(fixed, moved, spacing=spacing).hd95


def _border(label):
    """Indices (N, 3) of the border voxels of a boolean volume."""
    boxes = ndimage.find_objects(label.astype(np.uint8))
    if not boxes:
        return np.empty((0, 3))
    label = label[boxes[0]]
    return np.argwhere(label & ~ndimage.binary_erosion(label)) + [axis.start for axis in boxes[0]]


# regularity


def jacobian_determinant(displacement, scheme="forward"):
    """Jacobian determinant of phi(x) = x + u(x) by finite differences.

    Args:
        displacement: (X, Y, Z, 3) in voxels.
        scheme: "forward", one-sided differences on the (X-1, Y-1, Z-1) lattice: the paper's convention (its
            Table 4's counts and percentages agree on 127 x 127 x 63). "central": (u(x+1) - u(x-1)) / 2 on the
            interior (X-2, Y-2, Z-2) lattice, which voxelmorph uses (it adds one-sided differences at the
            faces). Central differences leave out the point itself, so they miss foldings of one voxel (Liu et
            al., IJCV 2024).

    Returns:
        float64 determinants: [0, 0, 0] belongs to voxel (0, 0, 0) for "forward", to (1, 1, 1) for "central".

    Raises:
        InputError: wrong shape, fewer voxels along an axis than the differences need, values that are not
            finite, or an unknown scheme.
    """
    phi = _mapped_points(displacement, least=3 if scheme == "central" else 2)
    if scheme == "forward":
        origin = phi[:, :-1, :-1, :-1]
        return _determinant(
            phi[:, 1:, :-1, :-1] - origin, phi[:, :-1, 1:, :-1] - origin, phi[:, :-1, :-1, 1:] - origin
        )
    if scheme == "central":
        mid = slice(1, -1)
        return (
            _determinant(
                phi[:, 2:, mid, mid] - phi[:, :-2, mid, mid],
                phi[:, mid, 2:, mid] - phi[:, mid, :-2, mid],
                phi[:, mid, mid, 2:] - phi[:, mid, mid, :-2],
            )
            / 8
        )
    raise InputError(f"scheme: {scheme!r} is not one of 'forward', 'central'")


def folds(displacement, scheme="forward", mask=None):
    """Number and percentage of lattice points whose Jacobian determinant is not positive (paper, Table 4).

    Args:
        displacement, scheme: as `jacobian_determinant`.
        mask: optional (X, Y, Z) volume; only its nonzero voxels are counted, as far as the lattice has them.

    Returns:
        `Folds` (count, percent); the percentage is NaN if the mask is empty.

    Raises:
        InputError: as `jacobian_determinant`, or the mask has another shape.
    """
    determinant = _masked_jacobian(displacement, scheme, mask)
    count = int(np.count_nonzero(determinant <= 0))
    return Folds(count, 100 * count / determinant.size if determinant.size else float("nan"))


def std_log_jacobian(displacement, scheme="forward", mask=None):
    """Standard deviation of log |J|: how unevenly volume changes (Leow et al., IEEE TMI 2007).

    The logarithm exists where |J| > 0 alone, so folded points are left out; read it beside `folds`. (Scripts
    that report Learn2Reg's SDlogJ clip |J| + 3 instead, which gives other numbers.)

    Args, Raises: as `folds`.

    Returns:
        float, 0 for one volume change throughout; NaN if no point has a positive determinant.
    """
    determinant = _masked_jacobian(displacement, scheme, mask)
    determinant = determinant[determinant > 0]
    return float(np.log(determinant).std()) if determinant.size else float("nan")


def non_diffeomorphic_volume(displacement, mask=None):
    """Volume that a transform turns inside out (Liu et al., IJCV 2024, "On Finite Difference Jacobian
    Computation in Deformable Image Registration").

    Between the voxels a transform is taken as linear on tetrahedra. A cell of 2 x 2 x 2 voxels splits into
    five in two ways, mirror images of each other: four corner tetrahedra, whose edges are forward or backward
    differences, round a central one. Over both ways that makes eight corner determinants (all the
    combinations of forward and backward differences) and two central ones, J1* and J2*: ten, each six times
    the signed volume of a mapped tetrahedron. The transform is a digital diffeomorphism if all ten are
    positive in every cell; if not, the non-diffeomorphic volume adds up the negative volumes and halves the
    sum, as there are two ways:

        sum over cells of 1/2 * sum over the ten of max(0, -det) / 6

    Unlike a count of voxels it grows with how far the transform folds. A reflection (det = -1) gives 100 %,
    and more is possible.

    Args:
        displacement: (X, Y, Z, 3) in voxels.
        mask: optional (X, Y, Z) volume: count only tetrahedra that belong to its nonzero voxels. As in the
            authors' code a corner tetrahedron belongs to its corner voxel, J1* to the cell's last voxel, J2*
            to its first.

    Returns:
        `FoldedVolume` (volume in voxels, percent). The percentage is of the (X-1)(Y-1)(Z-1) cells, or of the
        mask's voxels; NaN if the mask is empty.

    Raises:
        InputError: wrong shape, an axis with fewer than two voxels, values that are not finite, or a mask of
            another shape.
    """
    phi = _mapped_points(displacement, least=2)
    shape = phi.shape[1:]
    mask = None if mask is None else _check_mask(mask, shape)

    total = 0.0
    for determinant, voxel in _tetrahedra(phi):
        volume = np.maximum(-determinant, 0)
        total += (volume if mask is None else volume[_corner(mask, *voxel)]).sum()

    volume = float(total) / 12
    domain = int(np.prod(np.subtract(shape, 1)) if mask is None else np.count_nonzero(mask))
    return FoldedVolume(volume, 100 * volume / domain if domain else float("nan"))


def folded_cells(displacement):
    """Where a transform folds: the cells of 2 x 2 x 2 voxels in which one of the ten determinants of
    `non_diffeomorphic_volume` is not positive.

    Args:
        displacement: (X, Y, Z, 3) in voxels.

    Returns:
        bool (X-1, Y-1, Z-1). All False is a digital diffeomorphism, without folds in forward and backward
        differences alike.

    Raises:
        InputError: as `non_diffeomorphic_volume`.
    """
    phi = _mapped_points(displacement, least=2)
    # In slabs that stay in the processor's cache it takes half the time.
    slabs = (np.ascontiguousarray(phi[:, x : x + 5]) for x in range(0, phi.shape[1] - 1, 4))
    return np.concatenate([np.any([determinant <= 0 for determinant, _ in _tetrahedra(slab)], axis=0) for slab in slabs])


def _corner(volume, *offset):
    """A view (..., X-1, Y-1, Z-1) of the values at one corner of all cells."""
    return volume[(..., *(slice(o, n - 1 + o) for o, n in zip(offset, volume.shape[-3:])))]


def _tetrahedra(phi):
    """The ten determinants (X-1, Y-1, Z-1) of all cells, each with the corner (0 or 1 an axis) that it belongs to."""
    for i, j, k in product((0, 1), repeat=3):
        origin, sign = _corner(phi, i, j, k), (-1) ** (i + j + k)
        edges = (
            _corner(phi, 1 - i, j, k) - origin,
            _corner(phi, i, 1 - j, k) - origin,
            _corner(phi, i, j, 1 - k) - origin,
        )
        yield sign * _determinant(*edges), (i, j, k)
    for o in (1, 0):  # J1*, J2*
        p, origin = 1 - o, _corner(phi, o, o, o)
        # Faces in an order that makes the identity's determinant +2 from either end of the cell.
        faces = [_corner(phi, *at) - origin for at in ((p, p, o), (o, p, p), (p, o, p))]
        yield (1 - 2 * o) * _determinant(*faces), (o, o, o)


def _mapped_points(displacement, least):
    """The points x + u(x), components first: (3, X, Y, Z) float64."""
    displacement = np.asarray(displacement)
    if displacement.ndim != 4 or displacement.shape[-1] != 3 or min(displacement.shape[:3]) < least:
        raise InputError(
            f"displacement: {displacement.shape} is not (X, Y, Z, 3) with {least} or more voxels per axis"
        )
    phi = np.moveaxis(displacement, -1, 0).astype(np.float64, order="C")
    if not np.isfinite(phi).all():
        raise InputError("displacement: holds values that are not finite")
    for axis, n in enumerate(phi.shape[1:]):
        phi[axis] += np.arange(n).reshape(np.roll((n, 1, 1), axis))
    return phi


def _determinant(a, b, c):
    """Determinants of the 3 x 3 matrices with the columns a, b, c, each (3, ...)."""
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


def _masked_jacobian(displacement, scheme, mask):
    determinant = jacobian_determinant(displacement, scheme)
    if mask is None:
        return determinant
    mask = _check_mask(mask, np.shape(displacement)[:3])
    lattice = slice(0, -1) if scheme == "forward" else slice(1, -1)
    return determinant[mask[lattice, lattice, lattice]]


# correspondence


def target_registration_error(points_a, points_b):
    """Distances between corresponding points, mm (Fitzpatrick and West, IEEE TMI 2001).

    Args:
        points_a, points_b: (N, 3) in mm in one world frame, such as fixed landmarks after the transform and
            the moving landmarks.

    Returns:
        (N,) float64, one distance a point, for the caller to average; empty for no points.

    Raises:
        InputError: the shapes differ or are not (N, 3).
    """
    points_a, points_b = np.asarray(points_a, np.float64), np.asarray(points_b, np.float64)
    if points_a.shape != points_b.shape or points_a.ndim != 2 or points_a.shape[1] != 3:
        raise InputError(f"points: shapes {points_a.shape} and {points_b.shape} are not one shape (N, 3)")
    return np.linalg.norm(points_a - points_b, axis=1)


def inverse_consistency_error(forward, backward, *, spacing, mask=None):
    """How far the backward transform misses the point from which the forward one started, mm.

    |u(x) + w(x + u(x))| for forward x + u(x) and backward y + w(y), w sampled linearly (Christensen and
    Johnson, IEEE TMI 2001). A point that leaves the grid cannot be measured and is left out.

    Args:
        forward, backward: (X, Y, Z, 3) in voxels of one grid.
        spacing: size of a voxel in mm, three numbers.
        mask: optional (X, Y, Z) volume; only its nonzero voxels are measured.

    Returns:
        `InverseConsistency` (mean, maximum) in mm; both NaN if no point could be measured.

    Raises:
        InputError: the shapes differ, values are not finite, or the spacing is not three positive numbers.
    """
    spacing = _check_spacing(spacing)
    phi = _mapped_points(forward, least=1)
    back = _mapped_points(backward, least=1)  # y + w(y); sampling that linearly samples w and is exact on y
    if phi.shape != back.shape:
        raise InputError(f"forward, backward: shapes {np.shape(forward)} and {np.shape(backward)} differ")
    shape = phi.shape[1:]
    start = np.indices(shape, np.float64)
    last = np.subtract(shape, 1)[:, None, None, None]
    measured = ((phi >= 0) & (phi <= last)).all(0)
    if mask is not None:
        measured &= _check_mask(mask, shape)
    if not measured.any():
        return InverseConsistency(float("nan"), float("nan"))
    there = phi[:, measured]
    returned = np.stack(
        [ndimage.map_coordinates(component, there, order=1, mode="nearest") for component in back]
    )
    error = np.linalg.norm((returned - start[:, measured]) * spacing[:, None], axis=0)
    return InverseConsistency(float(error.mean()), float(error.max()))


# checks at the border


def _objects(fixed, moved):
    fixed, moved = (_object(name, label) for name, label in (("fixed", fixed), ("moved", moved)))
    if fixed.shape != moved.shape:
        raise InputError(f"labels: shapes {fixed.shape} and {moved.shape} differ")
    return fixed, moved


def _object(name, label):
    label = np.asarray(label)
    if label.ndim != 3:
        raise InputError(f"{name} label: shape {label.shape} is not (X, Y, Z)")
    if label.dtype.kind == "f" and (label != np.rint(label)).any():
        raise InputError(
            f"{name} label: holds fractional values; threshold it first (linear interpolation: at 0.5)"
        )
    return label != 0


def _check_mask(mask, shape):
    mask = np.asarray(mask)
    if mask.shape != tuple(shape):
        raise InputError(f"mask: shape {mask.shape} is not the displacement's {tuple(shape)}")
    return mask != 0


def _check_spacing(spacing):
    spacing = np.asarray(spacing, np.float64)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"spacing: {spacing.tolist()} is not three positive numbers (mm)")
    return spacing
