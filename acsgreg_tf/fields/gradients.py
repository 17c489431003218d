"""Values and gradients, written out, of what refinement lowers: a warp through exp(v), distances, roughness, folds."""

import numpy as np

from acsgreg_tf.fields.compose import compose
from acsgreg_tf.fields.kernels import in_slabs, kernel, locate
from acsgreg_tf.fields.sampling import about_origin, as_volume

__all__ = [
    "fold_penalty",
    "integrate_gradient",
    "integrated",
    "roughness",
    "rounded_difference",
    "warp_jointly_gradient",
]

# Places that coincide are summed into so many copies side by side: always as many, so that sums do not depend on cores.
_COPIES = 4
# Blocks of cells whose folds are looked at; as many always, for the same reason.
_BLOCKS = 8


# === Integration ===


def integrated(velocity: np.ndarray, steps: int) -> list[np.ndarray]:
    """`fields.integrate` with the fields before each squaring, which its gradient needs; the last one is exp(v)."""
    stages = [as_volume(velocity) / np.float32(2**steps)]
    for _ in range(steps):
        stages.append(compose(stages[-1], stages[-1]))
    return stages


def integrate_gradient(stages: list[np.ndarray], upstream: np.ndarray) -> np.ndarray:
    """The gradient by the velocity, [X, Y, Z, 3], from `integrated` and the gradient by exp(v)."""
    upstream = as_volume(upstream)
    copies = np.empty((_COPIES, *upstream.shape), np.float32)
    edges = np.linspace(0, len(upstream), _COPIES + 1).astype(np.int64)
    for field in reversed(stages[:-1]):
        in_slabs(_square_gradient, _COPIES, field, upstream, edges, copies, least=1)
        by_field = np.empty_like(upstream)
        in_slabs(_total, len(upstream), upstream, copies, by_field)
        upstream = by_field
    return upstream / np.float32(2 ** (len(stages) - 1))


@kernel
def _total(upstream: np.ndarray, copies: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                for n in range(3):
                    total = upstream[i, j, k, n]
                    for copy in range(len(copies)):
                        total += copies[copy, i, j, k, n]
                    out[i, j, k, n] = total


@kernel
def _square_gradient(
    field: np.ndarray, upstream: np.ndarray, edges: np.ndarray, copies: np.ndarray, start: int, stop: int
) -> None:
    """The gradients of field(x + field(x)) by the field at either place, of the voxels of one slab in each copy."""
    for copy in range(start, stop):
        copies[copy] = 0
        _add_square_gradient(field, upstream, copies[copy], edges[copy], edges[copy + 1])


@kernel
def _slopes(corners: tuple, place: tuple, slope: np.ndarray) -> None:
    """The slope at a place in a cell, each 0 to 1; its corners lie as 000, 001 (the next along z), 010, ... 111."""
    c000, c001, c010, c011, c100, c101, c110, c111 = corners
    x, y, z = place
    rx, ry, rz = np.float32(1) - x, np.float32(1) - y, np.float32(1) - z
    slope[0] = ry * (rz * (c100 - c000) + z * (c101 - c001)) + y * (rz * (c110 - c010) + z * (c111 - c011))
    slope[1] = rx * (rz * (c010 - c000) + z * (c011 - c001)) + x * (rz * (c110 - c100) + z * (c111 - c101))
    slope[2] = rx * (ry * (c001 - c000) + y * (c011 - c010)) + x * (ry * (c101 - c100) + y * (c111 - c110))


@kernel
def _corner(field: np.ndarray, a: int, b: int, c: int, up: np.ndarray, weight: float, out: np.ndarray) -> float:
    """The field times `up` at one voxel; `weight` times `up` is added to out there."""
    for n in range(3):
        out[a, b, c, n] += weight * up[n]
    return field[a, b, c, 0] * up[0] + field[a, b, c, 1] * up[1] + field[a, b, c, 2] * up[2]


@kernel
def _add_square_gradient(field: np.ndarray, upstream: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    sides, slope = field.shape, np.empty(3, np.float32)
    for i in range(start, stop):
        for j in range(sides[1]):
            for k in range(sides[2]):
                up = upstream[i, j, k]
                if up[0] == 0 and up[1] == 0 and up[2] == 0:
                    continue
                x, y, z = i + field[i, j, k, 0], j + field[i, j, k, 1], k + field[i, j, k, 2]
                a, da, fx = locate(x, sides[0])
                b, db, fy = locate(y, sides[1])
                c, dc, fz = locate(z, sides[2])
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                c000 = _corner(field, a, b, c, up, gx * gy * gz, out)
                c001 = _corner(field, a, b, c + dc, up, gx * gy * fz, out)
                c010 = _corner(field, a, b + db, c, up, gx * fy * gz, out)
                c011 = _corner(field, a, b + db, c + dc, up, gx * fy * fz, out)
                c100 = _corner(field, a + da, b, c, up, fx * gy * gz, out)
                c101 = _corner(field, a + da, b, c + dc, up, fx * gy * fz, out)
                c110 = _corner(field, a + da, b + db, c, up, fx * fy * gz, out)
                c111 = _corner(field, a + da, b + db, c + dc, up, fx * fy * fz, out)
                _slopes((c000, c001, c010, c011, c100, c101, c110, c111), (fx, fy, fz), slope)
                # A coordinate that is moved to the edge does not move its sample.
                if 0 <= x <= sides[0] - 1:
                    out[i, j, k, 0] += slope[0]
                if 0 <= y <= sides[1] - 1:
                    out[i, j, k, 1] += slope[1]
                if 0 <= z <= sides[2] - 1:
                    out[i, j, k, 2] += slope[2]


# === The joint warp ===


@kernel
def pass_on(
    slope: np.ndarray,
    to: tuple,
    point: tuple,
    sides: tuple,
    matrix: np.ndarray,
    by_field: np.ndarray,
    total: np.ndarray,
) -> None:
    """From the slope at one place, added to by_field [3], and to total [3, 4]: the slope times (x, y, z, 1)."""
    for n in range(3):
        # A coordinate that is moved to the edge does not move its sample.
        if not 0 <= to[n] <= sides[n] - 1:
            slope[n] = 0.0
    for n in range(3):
        by_field[n] += matrix[0, n] * slope[0] + matrix[1, n] * slope[1] + matrix[2, n] * slope[2]
        total[n, 0] += slope[n] * point[0]
        total[n, 1] += slope[n] * point[1]
        total[n, 2] += slope[n] * point[2]
        total[n, 3] += slope[n]


@kernel
def _both(volume: np.ndarray, a: int, b: int, c: int, up: np.ndarray) -> float:
    """The two channels of a volume times `up` at one voxel."""
    return volume[a, b, c, 0] * up[0] + volume[a, b, c, 1] * up[1]


@kernel
def _joint_gradient(
    volume: np.ndarray,
    matrix: np.ndarray,
    field: np.ndarray,
    upstream: np.ndarray,
    by_field: np.ndarray,
    by_matrix: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Added to by_field [x, y, z, 3], and to each slab's sums by_matrix [x, 3, 4]: of the slope times (x, y, z, 1)."""
    sides = volume.shape
    slope = np.empty(3)
    for i in range(start, stop):
        total = by_matrix[i]
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                up = upstream[i, j, k]
                if up[0] == 0 and up[1] == 0:
                    continue
                x, y, z = i + field[i, j, k, 0], j + field[i, j, k, 1], k + field[i, j, k, 2]
                to_x = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]
                to_y = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]
                to_z = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
                a, da, fx = locate(to_x, sides[0])
                b, db, fy = locate(to_y, sides[1])
                c, dc, fz = locate(to_z, sides[2])
                c000, c001 = _both(volume, a, b, c, up), _both(volume, a, b, c + dc, up)
                c010, c011 = _both(volume, a, b + db, c, up), _both(volume, a, b + db, c + dc, up)
                c100, c101 = _both(volume, a + da, b, c, up), _both(volume, a + da, b, c + dc, up)
                c110, c111 = _both(volume, a + da, b + db, c, up), _both(volume, a + da, b + db, c + dc, up)
                _slopes((c000, c001, c010, c011, c100, c101, c110, c111), (fx, fy, fz), slope)
                pass_on(slope, (to_x, to_y, to_z), (x, y, z), sides, matrix, by_field[i, j, k], total)


def warp_jointly_gradient(
    volume: np.ndarray, affine: np.ndarray, displacement: np.ndarray, upstream: np.ndarray, by_displacement: np.ndarray
) -> np.ndarray:
    """The gradients of `fields.warp_jointly` of two channels by the affine and by the displacement.

    Args:
        volume: [X, Y, Z, 2].
        affine: [3, 4], voxels about the centre of the displacement's grid.
        displacement: [x, y, z, 3].
        upstream: [x, y, z, 2], the gradient by the warped volume.
        by_displacement: [x, y, z, 3] float32; the gradient by the displacement is added to it.

    Returns:
        The gradient by the affine, [3, 4].
    """
    shape = displacement.shape[:3]
    by_matrix = np.zeros((shape[0], 3, 4))
    arrays = as_volume(volume), about_origin(affine, shape), as_volume(displacement), as_volume(upstream)
    in_slabs(_joint_gradient, shape[0], *arrays, by_displacement, by_matrix)
    return about_centre(by_matrix, shape)


def about_centre(by_matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient by an affine [3, 4] about the centre of a grid, from slabs' sums [x, 3, 4] about its first voxel."""
    total = by_matrix.sum(axis=0)
    centre = (np.array(shape) - 1) / 2
    return np.column_stack([total[:, :3] - total[:, 3:] * centre, total[:, 3]])


# === Distances ===


@kernel
def _rounded_difference(
    values: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    rows: np.ndarray,
    start: int,
    stop: int,
) -> None:
    for i in range(start, stop):
        total = 0.0
        for j in range(target.shape[1]):
            for k in range(target.shape[2]):
                miss = values[i, j, k] - target[i, j, k]
                root = np.sqrt(np.float32(0.25) + miss * miss)
                total += weights[i, j, k] * (root - np.float32(0.5))
                out[i, j, k] = weights[i, j, k] * miss / root
        rows[i] = total


def rounded_difference(values: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The weighted sum of `losses.rounded_difference` of values and target, and its gradient by the values.

    Args:
        values: [X, Y, Z] float32.
        target: [X, Y, Z] float32.
        weights: [X, Y, Z] float32.

    Returns:
        (sum, gradient [X, Y, Z] float32).
    """
    out, rows = np.empty_like(target), np.empty(len(target))
    in_slabs(_rounded_difference, len(target), values, target, weights, out, rows)
    return float(rows.sum()), out


# === Roughness ===


@kernel
def _roughness(
    field: np.ndarray, weights: np.ndarray, share: float, out: np.ndarray, rows: np.ndarray, start: int, stop: int
) -> None:
    """The rows' sums of the squared steps ahead, and out, a share of the whole sum's gradient; weights by axis."""
    sides = field.shape
    for i in range(start, stop):
        total = 0.0
        for j in range(sides[1]):
            for k in range(sides[2]):
                for n in range(3):
                    here, slope = field[i, j, k, n], np.float32(0)
                    if i + 1 < sides[0]:
                        step = field[i + 1, j, k, n] - here
                        total += weights[0] * step * step
                        slope -= weights[0] * step
                    if i > 0:
                        slope += weights[0] * (here - field[i - 1, j, k, n])
                    if j + 1 < sides[1]:
                        step = field[i, j + 1, k, n] - here
                        total += weights[1] * step * step
                        slope -= weights[1] * step
                    if j > 0:
                        slope += weights[1] * (here - field[i, j - 1, k, n])
                    if k + 1 < sides[2]:
                        step = field[i, j, k + 1, n] - here
                        total += weights[2] * step * step
                        slope -= weights[2] * step
                    if k > 0:
                        slope += weights[2] * (here - field[i, j, k - 1, n])
                    out[i, j, k, n] = 2 * share * slope
        rows[i] = total


def roughness(field: np.ndarray, share: float = 1.0) -> tuple[float, np.ndarray]:
    """The mean squared forward differences, summed over axes (`losses.Diffusion`), and `share` times its gradient.

    Args:
        field: [X, Y, Z, 3].
        share: Of the gradient.

    Returns:
        (value, gradient [X, Y, Z, 3]).
    """
    field = as_volume(field)
    sides = np.array(field.shape[:3])
    weights = np.array([1 / max(np.prod(sides - np.eye(3, dtype=int)[a]), 1) for a in range(3)], np.float32)
    out, rows = np.empty_like(field), np.empty(len(field))
    in_slabs(_roughness, len(field), field, weights, np.float32(share), out, rows)
    return float(rows.sum()), out


# === Folds ===


@kernel
def _edge(near: np.ndarray, far: np.ndarray, edge: np.ndarray) -> None:
    """By how much the displacements (3,) of two neighbours differ."""
    for n in range(3):
        edge[n] = far[n] - near[n]


@kernel
def _add_edge(near: np.ndarray, far: np.ndarray, weight: float, slope: np.ndarray) -> None:
    """Add a gradient by an edge, weight * slope, to those by its ends."""
    for n in range(3):
        value = np.float32(weight * slope[n])
        near[n] -= value
        far[n] += value


@kernel
def _cross(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@kernel
def _fold_penalty(
    field: np.ndarray,
    margin: float,
    edges: np.ndarray,
    first: int,
    out: np.ndarray,
    sums: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """The penalty of every other block of cells, from the `first` on; its gradient is added to out."""
    for n in range(start, stop):
        block = first + 2 * n
        sums[block] = _fold_penalty_of(field, margin, edges[block], edges[block + 1], out)


@kernel
def _fold_penalty_of(field: np.ndarray, margin: float, start: int, stop: int, out: np.ndarray) -> float:
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    bc, ca, ab = np.empty(3), np.empty(3), np.empty(3)
    total = 0.0
    for i in range(start, stop):
        for j in range(field.shape[1] - 1):
            for k in range(field.shape[2] - 1):
                for p in range(2):
                    for q in range(2):
                        for r in range(2):
                            _edge(field[i, j + q, k + r], field[i + 1, j + q, k + r], a)
                            _edge(field[i + p, j, k + r], field[i + p, j + 1, k + r], b)
                            _edge(field[i + p, j + q, k], field[i + p, j + q, k + 1], c)
                            a[0] += 1
                            b[1] += 1
                            c[2] += 1
                            _cross(b, c, bc)
                            miss = margin - (a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2])
                            if miss <= 0:
                                continue
                            total += miss * miss
                            _cross(c, a, ca)
                            _cross(a, b, ab)
                            _add_edge(out[i, j + q, k + r], out[i + 1, j + q, k + r], -2 * miss, bc)
                            _add_edge(out[i + p, j, k + r], out[i + p, j + 1, k + r], -2 * miss, ca)
                            _add_edge(out[i + p, j + q, k], out[i + p, j + q, k + 1], -2 * miss, ab)
    return total


def fold_penalty(displacement: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """(value, gradient [X, Y, Z, 3]) of how far a field is from one-to-one: 0 where all determinants exceed the margin.

    Sum over cells and their eight corners of max(margin - det, 0)^2, det the Jacobian determinant from the three edges
    that meet at the corner. A field interpolated linearly between these voxels does not fold where all of them, and the
    mixed ones between, are positive.
    """
    field = as_volume(displacement)
    out = np.zeros_like(field)
    blocks = max(min(_BLOCKS, len(field) - 1), 1)
    edges, sums = np.linspace(0, len(field) - 1, blocks + 1).astype(np.int64), np.zeros(blocks)
    # Blocks side by side write to the voxels between them, so that only every other one is worked on at once.
    for first in range(min(blocks, 2)):
        count = len(range(first, blocks, 2))
        in_slabs(_fold_penalty, count, field, float(margin), edges, first, out, sums, least=1)
    return float(sums.sum()), out
