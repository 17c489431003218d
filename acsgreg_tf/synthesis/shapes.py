"""Vertebra shapes as signed distances: read from labels, blended between people, varied.

A shape is a float32 array (X, Y, Z) on the network grid (1 mm, RAS oriented, 128 x 128 x 64 by default, centred on the
vertebra's bounding box) of signed distances to the bone's surface in mm, NEGATIVE inside.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from acsgreg_tf.anatomy.parts import parts_of_vertebra
from acsgreg_tf.anatomy.vertebra import pick_label
from acsgreg_tf.geometry import resample
from acsgreg_tf.geometry.distance import from_mask, grid_of_mask
from acsgreg_tf.geometry.lattice import coarse_shape, on_lattice, sample, smooth_noise
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.io.images import read_label
from acsgreg_tf.synthesis.correspondence import STEP, correspond, inverse_part
from acsgreg_tf.synthesis.draws import cut_normal

__all__ = [
    "FAR",
    "Variation",
    "interpolate",
    "interpolate_parts",
    "load_label",
    "load_parts",
    "vary",
    "vary_with_parts",
]

FAR = 8.0  # mm; how far outside the bone `interpolate` and `vary` keep distances


def load_label(
    path: str | os.PathLike, label: int | None = None, *, shape: Sequence[int] = NETWORK_SHAPE
) -> np.ndarray:
    """Read one label of a label map as a shape, whatever the map's orientation and spacing.

    Args:
        path: In one of the formats of `images.read_label`.
        label: Its number; may be left out where the map has one label only.
        shape: (X, Y, Z) in mm into which it must fit.

    Returns:
        The signed distance (X, Y, Z) in mm.

    Raises:
        InputError: The file cannot be read, the label is absent or ambiguous, or does not fit into `shape`.
    """
    image = read_label(path)
    mask = image.data == pick_label(image, label)
    return from_mask(mask, image.grid.affine, shape=shape, name=str(path))


def load_parts(
    path: str | os.PathLike,
    label_path: str | os.PathLike,
    label: int | None = None,
    *,
    shape: Sequence[int] = NETWORK_SHAPE,
) -> np.ndarray:
    """Read the map of parts that belongs to `load_label(label_path, label)`, on the same grid.

    Args:
        path: Map of parts (`anatomy.parts`), of the whole spine maybe, on any grid in the label map's frame.
        label_path: The label map.
        label: The vertebra's number there.
        shape: As in `load_label`.

    Returns:
        uint8 (X, Y, Z): the number of the nearest part at every voxel, outside of the bone too, so that no voxel of a
        bone that is varied is left without a part.

    Raises:
        InputError: A file cannot be read, the map holds no part of the vertebra, or as `load_label`.
    """
    image = read_label(label_path)
    number = pick_label(image, label)
    grid = grid_of_mask(image.data == number, image.grid.affine, shape=shape, name=str(label_path))
    own = parts_of_vertebra(read_label(path), image, number)
    return spread(resample(own.data, own.grid, grid, order=0))


def spread(parts: np.ndarray) -> np.ndarray:
    """A map of parts (X, Y, Z) with the nearest part's number wherever there is 0."""
    nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    return parts[tuple(nearest)]


def interpolate(sdf_a: np.ndarray, sdf_b: np.ndarray, t: float, field: np.ndarray | None = None) -> np.ndarray:
    """Blend two people's shapes: points that correspond are averaged, and the distances there.

    Args:
        sdf_a: The shape at t = 0.
        sdf_b: Nearly the shape at t = 1.
        t: From 0 to 1.
        field: `correspondence.correspond(sdf_a, sdf_b)`, for two that are blended more than once.

    Returns:
        The shape between; its distances hold near the surface only, and `vary` corrects them.
    """
    field = correspond(sdf_a, sdf_b) if field is None else field
    back = inverse_part(field, t)
    points = np.indices(field.shape[1:], np.float32)
    on = sample(field, points + back / STEP)
    near = np.argwhere(np.minimum(sdf_a, sdf_b) <= 0)
    first = np.maximum(near.min(axis=0) - int(FAR), 0)
    region = tuple(slice(a, b) for a, b in zip(first, near.max(axis=0) + int(FAR) + 1, strict=True))
    at_a = np.indices(sdf_a.shape, np.float32)[(slice(None), *region)]
    axes = [np.arange(n)[r] / STEP for n, r in zip(sdf_a.shape, region, strict=True)]
    at_a = at_a + on_lattice(back, axes)
    at_b = at_a + on_lattice(on, axes)
    out = np.full(sdf_a.shape, FAR, np.float32)
    out[region] = (1 - t) * sample(sdf_a[None], at_a)[0] + t * sample(sdf_b[None], at_b)[0]
    return np.minimum(out, FAR)


def interpolate_parts(parts_a: np.ndarray, t: float, field: np.ndarray) -> np.ndarray:
    """The first shape's parts carried along to the blend that `interpolate` makes with `field`.

    Args:
        parts_a: uint8 (X, Y, Z), a number everywhere (`load_parts`).
        t: As in `interpolate`.
        field: `correspondence.correspond(sdf_a, sdf_b)`.
    """
    at = on_lattice(inverse_part(field, t), [np.arange(n) / STEP for n in parts_a.shape])
    return _nearest(parts_a, at + np.indices(parts_a.shape, np.float32))


@dataclass(frozen=True)
class Variation:
    """How much `vary` changes a shape; normal draws, each cut at two standard deviations.

    Args:
        rotation: Standard deviation in degrees about each axis.
        translation: In mm from the middle of the box.
        scale: As a fraction.
        anisotropy: As a fraction, along each axis by itself.
        shear: As a fraction.
        deformation: (smoothness in mm, root mean square in mm a component) of the stationary velocities whose sum
            deforms the shape, diffeomorphically.
        margin: Voxels by which the result stays clear of the box.
    """

    rotation: float = 3.0
    translation: float = 1.0
    scale: float = 0.05
    anisotropy: float = 0.03
    shear: float = 0.02
    deformation: tuple[tuple[float, float], ...] = ((24.0, 1.2), (12.0, 0.8), (6.0, 0.5))
    margin: int = 1

    def in_voxels(self, spacing: float) -> "Variation":
        """The same with lengths in voxels of `spacing` mm."""
        deformation = tuple((smoothness / spacing, size / spacing) for smoothness, size in self.deformation)
        return replace(self, translation=self.translation / spacing, deformation=deformation)


_USUAL = Variation()


def vary(sdf: np.ndarray, rng: np.random.Generator, variation: Variation = _USUAL, spacing: float = 1.0) -> np.ndarray:
    """Make another vertebra like `sdf`: in a random pose, of a random size, smoothly deformed.

    The distances are sampled once, through the whole transform, and made to hold to first order again; beyond 8 mm
    outside the bone they are cut.

    Args:
        sdf: (X, Y, Z) in mm.
        rng: The generator that is advanced.
        variation: How much. Where the result is too large for the box it is drawn again more mildly, at last merely
            shrunk, until it fits.
        spacing: The voxels' edge in mm.
    """
    return vary_with_parts(sdf, None, rng, variation, spacing)[0]


def vary_with_parts(
    sdf: np.ndarray,
    parts: np.ndarray | None,
    rng: np.random.Generator,
    variation: Variation = _USUAL,
    spacing: float = 1.0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """`vary`, with a map of parts that is carried along.

    Args:
        sdf: As in `vary`.
        parts: uint8 (X, Y, Z), a number everywhere (`load_parts`), or None.
        rng: As in `vary`.
        variation: As in `vary`.
        spacing: As in `vary`.

    Returns:
        (sdf, parts, 0 outside of the bone, or None).
    """
    if spacing != 1:
        varied, parts = vary_with_parts(sdf / np.float32(spacing), parts, rng, variation.in_voxels(spacing))
        return np.minimum(varied * np.float32(spacing), FAR), parts
    shape = np.array(sdf.shape)
    centre = (shape - 1) / 2
    surface = np.argwhere((sdf <= 0) & (sdf > -1.5)) - centre
    matrix, velocity, low, high = _fitting_change(surface, shape, rng, variation)
    shift = centre - (low + high) / 2 + variation.translation * cut_normal(rng, 3)
    shift = np.clip(shift, variation.margin - low, shape - 1 - variation.margin - high)

    first = np.maximum(np.floor(low + shift - FAR), 0).astype(int)
    last = np.minimum(np.ceil(high + shift + FAR), shape - 1).astype(int)
    axes = [np.arange(a, b + 1) - s for a, b, s in zip(first, last, shift, strict=True)]  # before the shift
    points = on_lattice(_flow(velocity), [a / STEP for a in axes])
    for i, (axis, c) in enumerate(zip(axes, centre, strict=True)):
        points[i] += (axis - c).reshape([-1 if i == j else 1 for j in range(3)])
    at = np.tensordot(np.linalg.inv(matrix).astype(np.float32), points, 1) + centre[:, None, None, None]
    out = np.full(sdf.shape, FAR, np.float32)
    region = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    out[region] = np.minimum(_to_first_order(sample(sdf[None], at)[0]), FAR)
    if parts is None:
        return out, None
    carried = np.zeros_like(parts)
    carried[region] = np.where(out[region] <= 0, _nearest(parts, at), 0)
    return out, carried


def _nearest(parts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A map of parts at the voxels nearest to points `at` (3, ...)."""
    return ndimage.map_coordinates(parts, at, order=0, mode="nearest")


def _fitting_change(
    surface: np.ndarray, shape: np.ndarray, rng: np.random.Generator, variation: Variation
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw an affine matrix (3, 3) and a velocity with which the vertebra fits into its box.

    Args:
        surface: (N, 3) points of the surface in voxels from the middle of the box.
        shape: (3,) of the box.
        rng: The generator that is advanced.
        variation: How much, with lengths in voxels.

    Returns:
        (matrix, velocity on the lattice of STEP voxels, lowest and highest corner of the changed surface).
    """
    v, room, centre = variation, shape - 1 - 2 * variation.margin, (shape - 1) / 2
    for mildness in 0.75 ** np.arange(6):
        matrix = _random_affine(rng, mildness * np.array([v.rotation, v.scale, v.anisotropy, v.shear]))
        velocity = np.zeros((3, *coarse_shape(tuple(shape), STEP)), np.float32)
        for smoothness, size in v.deformation:
            velocity += mildness * size * _random_velocity(rng, shape, smoothness)
        placed = _push(surface @ matrix.T + centre, velocity)
        low, high = placed.min(axis=0), placed.max(axis=0)
        if (high - low <= room).all():
            return matrix, velocity, low, high
    matrix, velocity = np.eye(3) * min(1, (room / np.ptp(surface, axis=0)).min()), velocity * 0
    placed = _push(surface @ matrix.T + centre, velocity)
    return matrix, velocity, placed.min(axis=0), placed.max(axis=0)


def _random_affine(rng: np.random.Generator, deviations: np.ndarray) -> np.ndarray:
    """Matrix (3, 3): sizes along the axes, then shears, then turns about x, y and z."""
    rotation, scale, anisotropy, shear = deviations
    sizes = np.exp(scale * cut_normal(rng, 1) + anisotropy * cut_normal(rng, 3))
    shears = np.eye(3)
    shears[np.triu_indices(3, 1)] = shear * cut_normal(rng, 3)
    # The cosines and the sines come from draws of their own, so this turns to first order only and changes sizes by up
    # to 0.5 %. To draw the angles once would give every documented seed another cohort.
    (cx, cy, cz), (sx, sy, sz) = (f(np.deg2rad(rotation * cut_normal(rng, 3))) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x @ shears @ np.diag(sizes)


def _random_velocity(rng: np.random.Generator, shape: np.ndarray, smoothness: float) -> np.ndarray:
    """A smooth velocity (3, x, y, z) on the lattice of `STEP` mm, of root mean square 1 a component."""
    return np.stack([smooth_noise(rng, coarse_shape(tuple(shape), STEP), smoothness / STEP) for _ in range(3)])


def _flow(velocity: np.ndarray, squarings: int = 5) -> np.ndarray:
    """Displacement (3, x, y, z) in mm of the flow of a stationary velocity in mm: scaling and squaring."""
    field = velocity / 2**squarings
    points = np.indices(field.shape[1:], np.float32)
    for _ in range(squarings):
        field = field + sample(field, points + field / STEP)
    return field


def _push(points: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Where points (N, 3), in voxels, come to lie when the image around them is pulled through the flow."""
    return points + sample(_flow(-velocity), points.T / STEP).T


def _to_first_order(sdf: np.ndarray) -> np.ndarray:
    """Stretched distances divided by their slope; within limits, since along ridges it vanishes."""
    slope = np.sqrt(sum(g**2 for g in np.gradient(sdf)))
    return sdf / np.clip(slope, 0.7, 1.4)
