"""Signed distances to a surface, negative inside: of masks, probability maps and meshes.

Distances are in voxels of the grid that they lie on, which is mm where the voxels are 1 mm.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry._mesh_inside import votes_inside
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.network import NETWORK_SHAPE, network_grid


def from_mask(
    mask: np.ndarray, affine: np.ndarray, *, shape: Sequence[int] = NETWORK_SHAPE, name: str = "mask"
) -> np.ndarray:
    """The signed distance of a mask on any grid, on a 1 mm grid centred on its bounding box.

    The mask is resampled as a probability: smoothed by half a voxel along axes coarser than 1.25 mm and by a third
    along the others, interpolated linearly; its surface is where it crosses one half.

    Args:
        mask: Bool, of any shape.
        affine: (4, 4), from its voxels to RAS mm.
        shape: (X, Y, Z) in mm into which it must fit.
        name: What messages call it.

    Returns:
        (X, Y, Z) float32, mm, negative inside.

    Raises:
        InputError: The mask is empty or does not fit into `shape`.
    """
    grid = grid_of_mask(mask, affine, shape=shape, name=name)
    first, last = (end(np.argwhere(mask), axis=0) for end in (np.min, np.max))
    box = mask[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]
    box = np.pad(box, 4).astype(np.float32)
    coarse = np.linalg.norm(affine[:3, :3], axis=0) > 1.25
    probability = ndimage.gaussian_filter(box, np.where(coarse, 1 / 2, 1 / 3))

    to_voxel = np.linalg.inv(affine) @ grid.affine
    offset = to_voxel[:3, 3] - first + 4
    return from_probability(
        ndimage.affine_transform(probability, to_voxel[:3, :3], offset, output_shape=tuple(shape), order=1)
    )


def grid_of_mask(
    mask: np.ndarray, affine: np.ndarray, *, shape: Sequence[int] = NETWORK_SHAPE, name: str = "mask"
) -> Grid:
    """The 1 mm grid on which `from_mask` lays a mask, centred on its bounding box; arguments and faults as there."""
    voxels = np.argwhere(mask)
    if not len(voxels):
        raise InputError(f"{name}: the mask is empty")
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    reach = np.abs(affine[:3, :3]).sum(axis=1) / 2  # from a voxel's centre to its farthest face
    low, high = world.min(axis=0) - reach, world.max(axis=0) + reach
    _check_extent(high - low, shape, name)
    return network_grid((low + high) / 2, shape)


def from_mesh(
    vertices: ArrayLike,
    faces: ArrayLike,
    *,
    axes: str = "RAS",
    shape: Sequence[int] = NETWORK_SHAPE,
    name: str = "mesh",
) -> np.ndarray:
    """The signed distance of a triangle surface, on a 1 mm grid centred on its bounding box.

    What is inside is decided by counting crossings along lines in three directions and taking the majority, so that
    unwelded vertices, wrong windings and small holes do no harm.

    Args:
        vertices: (V, 3), mm.
        faces: (F, 3), indices of vertices.
        axes: Where each of the mesh's own axes points ("LPS": x to the left, y to the back, z up).
        shape: (X, Y, Z) in mm into which it must fit.
        name: What messages call it.

    Returns:
        (X, Y, Z) float32, mm, negative inside.

    Raises:
        InputError: Arrays or axes that make no sense, a surface that is too open to have an inside, or one that does
            not fit into `shape`.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise InputError(f"{name}: vertices must be finite and (V, 3), got shape {vertices.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.dtype.kind not in "iu":
        raise InputError(f"{name}: faces must be whole numbers and (F, 3), got {faces.dtype} of shape {faces.shape}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"{name}: faces must be indices of the {len(vertices)} vertices")
    corners = (vertices @ _axes_to_ras(axes, name).T)[faces]
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    _check_extent(high - low, shape, name)

    fine = 2  # sub-voxels a side
    corners = (corners - (low + high) / 2 + (np.array(shape) - 1) / 2) * fine + (fine - 1) / 2
    inside = inside_of(corners, [n * fine for n in shape], name)
    blocks = inside.reshape(shape[0], fine, shape[1], fine, shape[2], fine)
    return from_probability(ndimage.gaussian_filter(blocks.mean(axis=(1, 3, 5), dtype=np.float32), 0.4))


def inside_of(corners: np.ndarray, shape: Sequence[int], name: str) -> np.ndarray:
    """Which voxels lie inside a triangle surface, by the majority of lines in three directions: bool (X, Y, Z).

    Args:
        corners: (F, 3, 3), the triangles' corners in voxels.
        shape: (X, Y, Z).
        name: What messages call it.

    Raises:
        InputError: The surface is too open to have an inside.
    """
    votes = votes_inside(corners, shape)
    inside = votes >= 2
    doubtful = (votes == 1) | (votes == 2)
    if doubtful.sum() >= 0.1 * inside.sum():
        raise InputError(f"{name}: the surface is not closed, it has no clear inside")
    return inside


def from_probability(probability: np.ndarray) -> np.ndarray:
    """The signed distance (X, Y, Z) in voxels to where a probability map (X, Y, Z) crosses one half.

    Voxels next to the surface take their distance from the crossings on the lines to their neighbours, the others the
    distance to the point of the surface that belongs to the nearest of these. The surface is exact; distances to a
    curved one are, to a fraction of a voxel.
    """
    inside = probability > 0.5 - 1e-5  # voxels right on the surface are bone, however their value is rounded
    nearness = np.zeros((3, *probability.shape), np.float32)  # 1 / way to the surface, along each axis
    for axis in range(3):
        lower, upper, p, q, here, there = (
            part for a in (nearness[axis], probability, inside) for part in _neighbours(a, axis)
        )
        crossed = here != there
        fraction = np.clip((p[crossed] - 0.5) / (p[crossed] - q[crossed]), 1e-3, 1 - 1e-3)
        lower[crossed] = 1 / fraction
        # The surface may cross both lines from a voxel; the nearer crossing counts.
        upper[crossed] = np.maximum(upper[crossed], 1 / (1 - fraction))
    beside = nearness.any(axis=0)

    outward = -np.stack(np.gradient(probability))[:, beside]
    outward /= np.linalg.norm(outward, axis=0) + 1e-6
    shortest = nearness[:, beside].argmax(axis=0)[None]
    away = np.take_along_axis(np.abs(outward) / np.maximum(nearness[:, beside], 1e-6), shortest, 0)
    normal, foot = np.zeros_like(nearness), np.zeros_like(nearness)  # the foot: from a voxel to the surface
    normal[:, beside] = outward
    foot[:, beside] = outward * away * np.where(inside[beside], 1, -1)

    nearest = ndimage.distance_transform_edt(~beside, return_distances=False, return_indices=True)
    squares, across = 0, 0
    for start, end, f, n in zip(np.indices(beside.shape, np.float32), nearest, foot, normal, strict=True):
        way = end.astype(np.float32) - start + f[tuple(nearest)]
        squares, across = squares + way**2, across + way * n[tuple(nearest)]
    squares -= np.clip(squares - across**2, 0, 0.5)  # the foot may lie half a voxel beside the nearest point
    return np.sqrt(squares) * np.where(inside, np.float32(-1), np.float32(1))


def from_crop(mask: np.ndarray) -> np.ndarray | None:
    """The signed distance of a mask, where it lies, in VOXELS of its grid, whatever their size.

    The mask is smoothed a little first, which takes the voxels' steps off the surface.

    Args:
        mask: (X, Y, Z), bool, or how much of each voxel is inside, in [0, 1].

    Returns:
        (X, Y, Z) float32, voxels; None for a mask without a surface: an empty one, one that fills the grid, a thread of
        single voxels.
    """
    smoothed = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    inside = smoothed > 0.5
    if not inside.any() or inside.mean() > 0.98:
        return None
    return from_probability(smoothed)


def surface_points(distance: np.ndarray) -> np.ndarray:
    """Points (N, 3), voxels, where the lines between neighbouring voxels of a signed distance (X, Y, Z) cross 0."""
    points = []
    for axis in range(3):
        along = np.moveaxis(distance, axis, 0)
        here, there = along[:-1], along[1:]
        crossed = np.argwhere((here < 0) != (there < 0))
        at = tuple(crossed.T)
        place = crossed.astype(float)
        place[:, 0] += here[at] / (here[at] - there[at])
        points.append(np.insert(place[:, 1:], axis, place[:, 0], axis=1))
    return np.concatenate(points)


def _neighbours(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of `values` without its last and without its first layer along an axis."""
    along = np.moveaxis(values, axis, 0)
    return along[:-1], along[1:]


def coarser(sdf: np.ndarray, factor: int) -> np.ndarray:
    """A signed distance (X, Y, Z) on a grid of voxels `factor` times as large, about the same middle: means of blocks.

    `factor` is a whole number that divides X, Y and Z. Distances stay in mm; near a flat surface they stay what they
    were.
    """
    x, y, z = (n // factor for n in sdf.shape)
    return sdf.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5), dtype=np.float32)


def _check_extent(extent: np.ndarray, shape: Sequence[int], name: str) -> None:
    if (extent > np.array(shape)).any():
        size, limit = (" x ".join(f"{e:.0f}" for e in v) for v in (extent, shape))
        raise InputError(f"{name}: the vertebra measures {size} mm and must fit into {limit} mm")


def _axes_to_ras(axes: str, name: str) -> np.ndarray:
    """Matrix (3, 3) from coordinates whose axes point as `axes` says to RAS."""
    lines = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    if len(axes) != 3 or {lines.get(letter, (None,))[0] for letter in axes} != {0, 1, 2}:
        raise InputError(f"{name}: axes must be three letters, one each of R/L, A/P and S/I, not {axes!r}")
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row, sign = lines[letter]
        matrix[row, column] = sign
    return matrix
