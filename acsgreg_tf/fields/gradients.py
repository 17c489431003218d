"""Values and gradients, written out, of what refinement lowers: integration, the joint warp, roughness, folds."""

import numpy as np

from acsgreg_tf.fields.compose import compose
from acsgreg_tf.fields.kernels import in_slabs, kernel, locate
from acsgreg_tf.fields.sampling import about_origin, as_volume

__all__ = ["fold_penalty", "integrate_gradient", "integrated", "roughness", "warp_jointly_gradient"]

# Places that coincide are summed into so many copies side by side: always as many, so that sums do not depend on cores.
_COPIES = 4


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
def _add_square_gradient(field: np.ndarray, upstream: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    sides = field.shape
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
                by_x, by_y, by_z = np.float32(0), np.float32(0), np.float32(0)
                for p in range(2):
                    for q in range(2):
                        for r in range(2):
                            wx, wy, wz = (fx if p else 1 - fx), (fy if q else 1 - fy), (fz if r else 1 - fz)
                            place = a + p * da, b + q * db, c + r * dc
                            along = np.float32(0)
                            for n in range(3):
                                along += field[place[0], place[1], place[2], n] * up[n]
                                out[place[0], place[1], place[2], n] += wx * wy * wz * up[n]
                            by_x += (along if p else -along) * wy * wz
                            by_y += (along if q else -along) * wx * wz
                            by_z += (along if r else -along) * wx * wy
                # A coordinate that is moved to the edge does not move its sample.
                if 0 <= x <= sides[0] - 1:
                    out[i, j, k, 0] += by_x
                if 0 <= y <= sides[1] - 1:
                    out[i, j, k, 1] += by_y
                if 0 <= z <= sides[2] - 1:
                    out[i, j, k, 2] += by_z


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
    """From the slope at one place to by_field [3], and added to total [3, 4]: the slope times (x, y, z, 1)."""
    for n in range(3):
        # A coordinate that is moved to the edge does not move its sample.
        if not 0 <= to[n] <= sides[n] - 1:
            slope[n] = 0.0
    for n in range(3):
        by_field[n] = matrix[0, n] * slope[0] + matrix[1, n] * slope[1] + matrix[2, n] * slope[2]
        total[n, 0] += slope[n] * point[0]
        total[n, 1] += slope[n] * point[1]
        total[n, 2] += slope[n] * point[2]
        total[n, 3] += slope[n]


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
    """by_field [x, y, z, 3], and each slab's sums by_matrix [x, 3, 4]: of the slope times (x, y, z, 1)."""
    sides = volume.shape
    slope = np.empty(3)
    for i in range(start, stop):
        total = by_matrix[i]
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                for n in range(3):
                    by_field[i, j, k, n] = 0
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
                slope[0], slope[1], slope[2] = 0.0, 0.0, 0.0
                for p in range(2):
                    for q in range(2):
                        for r in range(2):
                            wx, wy, wz = (fx if p else 1 - fx), (fy if q else 1 - fy), (fz if r else 1 - fz)
                            at = volume[a + p * da, b + q * db, c + r * dc]
                            along = at[0] * up[0] + at[1] * up[1]
                            slope[0] += (along if p else -along) * wy * wz
                            slope[1] += (along if q else -along) * wx * wz
                            slope[2] += (along if r else -along) * wx * wy
                pass_on(slope, (to_x, to_y, to_z), (x, y, z), sides, matrix, by_field[i, j, k], total)


def warp_jointly_gradient(
    volume: np.ndarray, affine: np.ndarray, displacement: np.ndarray, upstream: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of `fields.warp_jointly` of two channels by the affine [3, 4] and by the displacement [x, y, z, 3].

    Args:
        volume: [X, Y, Z, 2].
        affine: [3, 4], voxels about the centre of the displacement's grid.
        displacement: [x, y, z, 3].
        upstream: [x, y, z, 2], the gradient by the warped volume.
    """
    shape = displacement.shape[:3]
    matrix = about_origin(affine, shape)
    by_field, by_matrix = np.empty((*shape, 3), np.float32), np.zeros((shape[0], 3, 4))
    volumes = as_volume(volume), matrix, as_volume(displacement), as_volume(upstream)
    in_slabs(_joint_gradient, shape[0], *volumes, by_field, by_matrix)
    return about_centre(by_matrix, shape), by_field


def about_centre(by_matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient by an affine [3, 4] about the centre of a grid, from slabs' sums [x, 3, 4] about its first voxel."""
    total = by_matrix.sum(axis=0)
    centre = (np.array(shape) - 1) / 2
    return np.column_stack([total[:, :3] - total[:, 3:] * centre, total[:, 3]])


# === Roughness ===


@kernel
def _roughness(
    field: np.ndarray, weights: np.ndarray, out: np.ndarray, rows: np.ndarray, start: int, stop: int
) -> None:
    """The rows' sums of the squared steps ahead, and out, the gradient of the whole sum; weights are those an axis."""
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
                    out[i, j, k, n] = 2 * slope
        rows[i] = total


def roughness(field: np.ndarray) -> tuple[float, np.ndarray]:
    """(value, gradient [X, Y, Z, 3]) of the mean squared forward differences, summed over axes (`losses.Diffusion`)."""
    field = as_volume(field)
    sides = np.array(field.shape[:3])
    weights = np.array([1 / max(np.prod(sides - np.eye(3, dtype=int)[a]), 1) for a in range(3)], np.float32)
    out, rows = np.empty_like(field), np.empty(len(field))
    in_slabs(_roughness, len(field), field, weights, out, rows)
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
def _fold_penalty(field: np.ndarray, margin: float, out: np.ndarray) -> float:
    """The penalty; its gradient is added to out. One thread: neighbouring cells write to one voxel."""
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    bc, ca, ab = np.empty(3), np.empty(3), np.empty(3)
    total = 0.0
    for i in range(field.shape[0] - 1):
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
    return float(_fold_penalty(field, float(margin), out)), out
