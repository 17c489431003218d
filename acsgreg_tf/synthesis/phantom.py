"""Lumbar vertebrae made to order: one number and a level give one vertebra as a signed distance field.

The shape is a smooth union of analytic solids (`phantom_anatomy`) with sizes from published morphometry
(`phantom_parameters`): body with kidney-shaped, hollow endplates, a waist and osteophytic rims; pedicles; laminae;
spinous, transverse and articular processes; the canal cut free. Last comes a little smooth noise. It is a shape, not
a scan: `ct` turns the field into an image, `shapes` varies it further. docs/reference/phantom.md shows it beside real
ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.synthesis.phantom_anatomy import BODY, Solid, solids
from acsgreg_tf.synthesis.phantom_parameters import Parameters, generator, level_index, parameters
from acsgreg_tf.synthesis.phantom_sdf import smooth_max, smooth_min

__all__ = ["FAR", "Parameters", "parameters", "part_map", "vertebra"]

FAR = 8.0  # mm; distances outside are cut off here
MAX_HEIGHT = 62.0  # mm; 64 less a voxel of background below and above
_BODY_RIM = 0.5  # mm; so near to the body's solid, and inside it, a voxel is the body's
LOWEST_TILT = -8.0  # degrees; the sagittal tilt at which a vertebra is about as low as it gets


def vertebra(seed: int, level: str, shape: Sequence[int] = NETWORK_SHAPE, spacing: float = 1.0) -> np.ndarray:
    """The signed distance field of person `seed`'s vertebra at `level`, in mm, negative inside.

    The vertebra's bounding box is centred on the grid's centre ((shape - 1) / 2); the same seed is the same vertebra on
    every grid.

    Args:
        seed: Whole number >= 0.
        level: "L1" .. "L5".
        shape: (X, Y, Z) voxels, x left to right, y back to front, z up (RAS).
        spacing: Voxel edge in mm.

    Returns:
        float32 (X, Y, Z); distances hold to first order near the surface and are cut off at FAR mm outside.

    Raises:
        InputError: An unknown level, a seed below 0, or a shape or spacing that is not positive.
    """
    placed = _Placed(seed, level, shape, spacing)
    out = np.full(placed.shape, FAR, np.float32)
    field = _evaluate(placed.axes, placed.solids, placed.turn, placed.noise)
    out[placed.crop] = np.minimum(_rescale(field, spacing), FAR)
    return out


def part_map(seed: int, level: str, shape: Sequence[int] = NETWORK_SHAPE, spacing: float = 1.0) -> np.ndarray:
    """The part to which the voxels of `vertebra`'s grid belong, in and round the bone: that of the nearest solid.

    Inside the body it is the body, though the pedicles reach into it. The arch is pedicles, pars and laminae.

    Args:
        seed: As in `vertebra`.
        level: As in `vertebra`.
        shape: As in `vertebra`.
        spacing: As in `vertebra`.

    Returns:
        uint8 (X, Y, Z), numbers of `anatomy.PARTS`, the body all 50; 0 far from the bone.

    Raises:
        InputError: As `vertebra`.
    """
    placed = _Placed(seed, level, shape, spacing)
    points = _own_points(placed.axes, placed.turn)
    nearest = np.full([len(a) for a in placed.axes], np.inf, np.float32)
    own = np.zeros(nearest.shape, np.uint8)
    for solid in placed.solids:
        box = _box_round(solid, placed.axes, placed.turn)
        if solid.cut or not nearest[box].size:
            continue
        distance = solid.distance([c[box] for c in points])
        nearer = distance < nearest[box]
        if solid.part == BODY:
            nearer |= distance < _BODY_RIM
        nearest[box] = np.where(nearer, distance, nearest[box])
        own[box] = np.where(nearer, solid.part, own[box])
    out = np.zeros(placed.shape, np.uint8)
    out[placed.crop] = own
    return out


class _Placed:
    """A phantom's solids, and where a grid lies about them.

    Attributes:
        shape: (X, Y, Z) of the grid.
        solids, noise, turn: What `_evaluate` takes.
        axes: Of the part of the grid round the bone, RAS mm about the body's centre.
        crop: That part, as slices.
    """

    def __init__(self, seed: int, level: str, shape: Sequence[int], spacing: float) -> None:
        self.shape = tuple(shape)
        if len(self.shape) != 3 or not all(isinstance(s, (int, np.integer)) and s > 0 for s in self.shape):
            raise InputError(f"shape {self.shape}: a grid has three positive whole numbers of voxels")
        if not np.isfinite(spacing) or spacing <= 0:
            raise InputError(f"spacing {spacing!r}: a voxel edge is a positive number of mm")
        p = parameters(seed, level)
        self.solids, self.noise = solids(p), _Noise(generator(seed, level_index(level) + 1, 1), p.roughness)
        self.turn, low, high = _pose(p, self.solids, self.noise)
        centre = (low + high) / 2
        axes = [(np.arange(s) - (s - 1) / 2) * spacing + c for s, c in zip(self.shape, centre, strict=True)]
        reach = zip(axes, low - FAR, high + FAR, strict=True)
        self.crop = tuple(slice(*np.searchsorted(axis, (first, last))) for axis, first, last in reach)
        self.axes = [axis[around] for axis, around in zip(axes, self.crop, strict=True)]


def _own_points(axes: Sequence[np.ndarray], turn: np.ndarray) -> list[Any]:
    """x, y and z in the vertebra's own axes on the grid spanned by `axes`, RAS mm about the body's centre."""
    grid = np.ix_(*(np.asarray(a, np.float32) for a in axes))
    return [sum(np.float32(turn[i, j]) * grid[i] for i in range(3)) for j in range(3)]


def _pose(p: Parameters, parts: list[Solid], noise: "_Noise") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rotation (3, 3) and the bounding box's corners (3,), mm.

    A vertebra too tall for the network's box is laid flatter, whatever the grid.
    """
    tilt = p.sagittal_tilt
    for _ in range(5):
        # From the vertebra's own axes to RAS: front up by the sagittal tilt, then the coronal one, then the axial turn.
        turn = Rotation.from_euler("xyz", (tilt, p.coronal_tilt, p.axial_turn), degrees=True).as_matrix()
        low, high = _bounding_box(parts, turn, noise)
        if high[2] - low[2] <= MAX_HEIGHT:
            break
        tilt += 0.4 * (LOWEST_TILT - tilt)
    return turn, low, high


def _evaluate(axes: Sequence[np.ndarray], parts: list[Solid], turn: np.ndarray, noise: "_Noise") -> np.ndarray:
    """The joined field on the grid spanned by `axes` (three 1-D arrays, RAS mm about the body's centre)."""
    own = _own_points(axes, turn)
    field = np.full([len(a) for a in axes], FAR, np.float32)
    for solid in parts:
        box = _box_round(solid, axes, turn)
        if not field[box].size:
            continue
        distance, width = solid.distance([c[box] for c in own]), np.float32(solid.blend)
        if solid.cut:
            field[box] = smooth_max(field[box], -distance, width)
        else:
            field[box] = smooth_min(field[box], distance, width)
    # Cut off first: deep in the canal the joined field is steep, and `_rescale` would pull it towards the surface.
    return np.minimum(field + noise(axes), FAR)


def _box_round(solid: Solid, axes: Sequence[np.ndarray], turn: np.ndarray) -> tuple[slice, ...]:
    """The part of the grid spanned by `axes` that a solid can reach."""
    hull = solid.hull @ turn.T
    reach = solid.radius + (2.0 if solid.cut else FAR)
    ends = zip(axes, hull.min(0) - reach, hull.max(0) + reach, strict=True)
    return tuple(slice(*np.searchsorted(a, (lo, hi))) for a, lo, hi in ends)


def _bounding_box(
    parts: list[Solid], turn: np.ndarray, noise: "_Noise", step: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of the vertebra about its body's centre, mm, from a coarse grid."""
    axes = [np.arange(-62, 62.1, step), np.arange(-90, 40.1, step), np.arange(-48, 48.1, step)]
    field = _evaluate(axes, parts, turn, noise)
    low, high = [], []
    for i, a in enumerate(axes):
        depth = field.min(axis=tuple(j for j in range(3) if j != i))
        first, last = np.flatnonzero(depth < 0)[[0, -1]]
        low.append(a[first] - step * depth[first] / (depth[first] - depth[first - 1]))
        high.append(a[last] + step * depth[last] / (depth[last] - depth[last + 1]))
    return np.array(low), np.array(high)


def _rescale(field: np.ndarray, spacing: float) -> np.ndarray:
    """Divide by the gradient's length, so that a value is a distance in mm to first order."""
    length2 = sum(np.gradient(field, spacing, axis=i) ** 2 for i in range(3) if field.shape[i] > 1)
    return field / np.sqrt(np.clip(length2, 0.36, 4.0))


class _Noise:
    """A smooth random bump field in mm: cubic B-splines on two lattices about the body's centre."""

    def __init__(self, rng: np.random.Generator, size: float) -> None:
        self.layers = []
        for step, amount in ((4.0, 0.6), (10.0, 1.0)):
            low, count = (-72, -100, -60), [int(n / step) + 4 for n in (144, 150, 120)]
            weights = rng.standard_normal(count).astype(np.float32) * np.float32(3.2 * size * amount)
            self.layers.append((step, low, weights))

    def __call__(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        total: float | np.ndarray = 0
        for step, low, weights in self.layers:
            value = weights
            for a, lo in zip(axes, low, strict=True):
                basis = _cubic_basis((np.asarray(a) - lo) / step, value.shape[0])
                value = np.tensordot(value, basis, axes=(0, 1))  # moves the axis last: in order after three
            total = total + value
        return np.asarray(total)


def _cubic_basis(u: np.ndarray, count: int) -> np.ndarray:
    """Values (len(u), count) of uniform cubic B-splines whose support starts at knot index - 3."""
    s = np.abs(u[:, None] + 1.0 - np.arange(count))
    near, far = 2 / 3 - s**2 + s**3 / 2, np.maximum(2 - s, 0) ** 3 / 6
    return np.where(s < 1, near, far).astype(np.float32)
