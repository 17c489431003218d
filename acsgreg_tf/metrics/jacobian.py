"""Jacobian determinants and folds of a displacement."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError
from acsgreg_tf.metrics.checks import check_mask
from acsgreg_tf.metrics.folded import cells_up_to, forward_determinants


class Folds(NamedTuple):
    """Lattice points with a non-positive Jacobian determinant."""

    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    percent: float


class FoldedVolume(NamedTuple):
    """Non-diffeomorphic volume in voxels (times a voxel's volume: mm^3) and in percent of the domain."""

    volume: float
    percent: float


def jacobian_determinant(displacement: ArrayLike, scheme: str = "forward") -> np.ndarray:
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
        InputError: Wrong shape, fewer voxels along an axis than the differences need, values that are not
            finite, or an unknown scheme.
    """
    if scheme == "forward":
        return forward_determinants(check_displacement(displacement, least=2))
    if scheme == "central":
        phi, mid = mapped_points(displacement, least=3), slice(1, -1)
        return (
            _determinant(
                phi[:, 2:, mid, mid] - phi[:, :-2, mid, mid],
                phi[:, mid, 2:, mid] - phi[:, mid, :-2, mid],
                phi[:, mid, mid, 2:] - phi[:, mid, mid, :-2],
            )
            / 8
        )
    raise InputError(f"scheme: {scheme!r} is not one of 'forward', 'central'")


def folds(displacement: ArrayLike, scheme: str = "forward", mask: ArrayLike | None = None) -> Folds:
    """Number and percentage of lattice points whose Jacobian determinant is not positive (paper, Table 4).

    Args:
        displacement: (X, Y, Z, 3) in voxels.
        scheme: "forward" or "central", as in `jacobian_determinant`.
        mask: Optional (X, Y, Z) volume; only its nonzero voxels are counted, as far as the lattice has them.

    Returns:
        `Folds` (count, percent); the percentage is NaN if the mask is empty.

    Raises:
        InputError: As `jacobian_determinant`, or the mask has another shape.
    """
    determinant = _masked_jacobian(displacement, scheme, mask)
    count = int(np.count_nonzero(determinant <= 0))
    return Folds(count, 100 * count / determinant.size if determinant.size else float("nan"))


def std_log_jacobian(displacement: ArrayLike, scheme: str = "forward", mask: ArrayLike | None = None) -> float:
    """Standard deviation of log |J|: how unevenly volume changes (Leow et al., IEEE TMI 2007).

    The logarithm exists where |J| > 0 alone, so folded points are left out; read it beside `folds`. (Scripts
    that report Learn2Reg's SDlogJ clip |J| + 3 instead, which gives other numbers.)

    Args:
        displacement: (X, Y, Z, 3) in voxels.
        scheme: "forward" or "central", as in `jacobian_determinant`.
        mask: As in `folds`.

    Raises:
        InputError: As `folds`.

    Returns:
        float, 0 for one volume change throughout; NaN if no point has a positive determinant.
    """
    determinant = _masked_jacobian(displacement, scheme, mask)
    determinant = determinant[determinant > 0]
    return float(np.log(determinant).std()) if determinant.size else float("nan")


def non_diffeomorphic_volume(displacement: ArrayLike, mask: ArrayLike | None = None) -> FoldedVolume:
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
        mask: Optional (X, Y, Z) volume: count only tetrahedra that belong to its nonzero voxels. As in the
            authors' code a corner tetrahedron belongs to its corner voxel, J1* to the cell's last voxel, J2*
            to its first.

    Returns:
        `FoldedVolume` (volume in voxels, percent). The percentage is of the (X-1)(Y-1)(Z-1) cells, or of the
        mask's voxels; NaN if the mask is empty.

    Raises:
        InputError: Wrong shape, an axis with fewer than two voxels, values that are not finite, or a mask of
            another shape.
    """
    phi = mapped_points(displacement, least=2)
    shape = phi.shape[1:]
    mask = None if mask is None else check_mask(mask, shape)

    total = 0.0
    if mask is None:
        folded = np.argwhere(folded_cells(displacement))
        total += sum(np.maximum(-value, 0).sum() for value in _determinants_in(phi, folded))
    else:
        for determinant, voxel in tetrahedra(phi):
            total += np.maximum(-determinant, 0)[_corner(mask, *voxel)].sum()

    volume = float(total) / 12
    domain = int(np.prod(np.subtract(shape, 1)) if mask is None else np.count_nonzero(mask))
    return FoldedVolume(volume, 100 * volume / domain if domain else float("nan"))


def folded_cells(displacement: ArrayLike, least: float = 0.0) -> np.ndarray:
    """Where a transform folds: the cells of 2 x 2 x 2 voxels in which one of the ten determinants of
    `non_diffeomorphic_volume` is not positive.

    Args:
        displacement: (X, Y, Z, 3) in voxels.
        least: Determinants up to this count as folded, for a field that has to stay clear of 0.

    Returns:
        bool (X-1, Y-1, Z-1). All False is a digital diffeomorphism, without folds in forward and backward
        differences alike.

    Raises:
        InputError: As `non_diffeomorphic_volume`.
    """
    return cells_up_to(check_displacement(displacement, least=2), float(least))


def _determinants_in(phi: np.ndarray, cells: np.ndarray) -> Iterator[np.ndarray]:
    """The ten determinants of some cells (N, 3) of mapped points (3, X, Y, Z), each (N,)."""
    corners = np.empty((3, len(cells), 2, 2, 2))
    for i, j, k in product((0, 1), repeat=3):
        corners[:, :, i, j, k] = phi[:, cells[:, 0] + i, cells[:, 1] + j, cells[:, 2] + k]
    return (determinant.ravel() for determinant, _ in tetrahedra(corners))


def _corner(volume: np.ndarray, *offset: int) -> np.ndarray:
    """A view (..., X-1, Y-1, Z-1) of the values at one corner of all cells."""
    x, y, z = (slice(o, n - 1 + o) for o, n in zip(offset, volume.shape[-3:]))
    return volume[..., x, y, z]


def tetrahedra(phi: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int, int]]]:
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


def mapped_points(displacement: ArrayLike, least: int) -> np.ndarray:
    """The points x + u(x), components first: (3, X, Y, Z) float64."""
    phi = np.moveaxis(check_displacement(displacement, least), -1, 0).astype(np.float64, order="C")
    for axis, n in enumerate(phi.shape[1:]):
        phi[axis] += np.arange(n).reshape(np.roll((n, 1, 1), axis))
    return phi


def check_displacement(displacement: ArrayLike, least: int) -> np.ndarray:
    """The displacement as an array (X, Y, Z, 3).

    Raises:
        InputError: Another shape, fewer than `least` voxels along an axis, or values that are not finite.
    """
    displacement = np.asarray(displacement)
    if displacement.ndim != 4 or displacement.shape[-1] != 3 or min(displacement.shape[:3]) < least:
        raise InputError(f"displacement: {displacement.shape} is not (X, Y, Z, 3) with {least} or more voxels per axis")
    if not np.isfinite(displacement).all():
        raise InputError("displacement: holds values that are not finite")
    return displacement


def _determinant(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Determinants of the 3 x 3 matrices with the columns a, b, c, each (3, ...)."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


def _masked_jacobian(displacement: ArrayLike, scheme: str, mask: ArrayLike | None) -> np.ndarray:
    determinant = jacobian_determinant(displacement, scheme)
    if mask is None:
        return determinant
    mask = check_mask(mask, np.shape(displacement)[:3])
    lattice = slice(0, -1) if scheme == "forward" else slice(1, -1)
    return determinant[mask[lattice, lattice, lattice]]
