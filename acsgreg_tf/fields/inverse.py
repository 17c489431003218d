"""The inverse of a displacement: Newton's method from exp(-v), and its errors spread over the voxels."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel, locate, threads
from acsgreg_tf.fields.sampling import as_volume, at

# A cell with a determinant below this has no sound slope to follow.
_LEAST_DETERMINANT = 0.05
# Voxels by which an inverse may miss at its own voxels; between them it misses by far more.
_CLOSE = 1e-3
# Copies of the volume that are summed into side by side; each takes memory.
_MOST_COPIES = 4


@kernel
def _slope(field: np.ndarray, i: int, j: int, k: int, weight: float, slopes: np.ndarray) -> None:
    """Add the weighted central differences at a voxel (one-sided at the border) to slopes (3, 3): component, axis."""
    a, b = min(i + 1, field.shape[0] - 1), max(i - 1, 0)
    c, d = min(j + 1, field.shape[1] - 1), max(j - 1, 0)
    e, f = min(k + 1, field.shape[2] - 1), max(k - 1, 0)
    by_x, by_y, by_z = weight / max(a - b, 1), weight / max(c - d, 1), weight / max(e - f, 1)
    for n in range(3):
        slopes[n, 0] += by_x * (field[a, j, k, n] - field[b, j, k, n])
        slopes[n, 1] += by_y * (field[i, c, k, n] - field[i, d, k, n])
        slopes[n, 2] += by_z * (field[i, j, e, n] - field[i, j, f, n])


@kernel
def _jacobian(field: np.ndarray, x: float, y: float, z: float, slopes: np.ndarray) -> None:
    """The slopes at a point, interpolated linearly, plus the identity: that of x + u(x)."""
    i, di, fx = locate(x, field.shape[0])
    j, dj, fy = locate(y, field.shape[1])
    k, dk, fz = locate(z, field.shape[2])
    for n in range(3):
        for m in range(3):
            slopes[n, m] = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                if weight > 0:
                    _slope(field, i + a * di, j + b * dj, k + c * dk, weight, slopes)
    for n in range(3):
        slopes[n, n] += 1.0


@kernel
def _determinant(m: np.ndarray) -> float:
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@kernel
def _newton(field: np.ndarray, inverse: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    value, there = np.empty(3, np.float32), np.empty(3, np.float32)
    jacobian, replaced = np.empty((3, 3)), np.empty((3, 3))
    step, miss, tried = np.empty(3), np.empty(3), np.empty(3)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                for n in range(3):
                    out[i, j, k, n] = inverse[i, j, k, n]
                x, y, z = i + inverse[i, j, k, 0], j + inverse[i, j, k, 1], k + inverse[i, j, k, 2]
                at(field, x, y, z, value)
                before = 0.0
                for n in range(3):
                    miss[n] = value[n] + inverse[i, j, k, n]
                    before += miss[n] ** 2
                if before < _CLOSE**2:
                    continue
                _jacobian(field, x, y, z, jacobian)
                determinant = _determinant(jacobian)
                if determinant <= _LEAST_DETERMINANT:
                    continue
                length = 0.0
                for n in range(3):  # Cramer's rule
                    for row in range(3):
                        for column in range(3):
                            replaced[row, column] = miss[row] if column == n else jacobian[row, column]
                    step[n] = _determinant(replaced) / determinant
                    length += step[n] ** 2
                scale = min(1.0, 1.0 / max(np.sqrt(length), 1e-6))
                for n in range(3):
                    tried[n] = inverse[i, j, k, n] - scale * step[n]
                at(field, i + tried[0], j + tried[1], k + tried[2], there)
                after = 0.0
                for n in range(3):
                    after += (tried[n] + there[n]) ** 2
                if after < before:
                    for n in range(3):
                        out[i, j, k, n] = tried[n]


def correct_inverse(inverse: np.ndarray, displacement: np.ndarray, steps: int = 3) -> np.ndarray:
    """Make exp(-v) invert exp(v) as it is interpolated, by Newton's method from there.

    On a grid exp(-v) misses the inverse of exp(v) by tenths of a voxel where the field is steep. Each voxel y moves to
    the root of x + u(x) = y nearest to it, in steps of at most a voxel; where u folds, y keeps the value of exp(-v).

    Args:
        inverse: [X, Y, Z, 3], voxels, the displacement of exp(-v).
        displacement: [X, Y, Z, 3], that of exp(v).
        steps: Of Newton's method.
    """
    inverse, displacement = as_volume(inverse), as_volume(displacement)
    for _ in range(steps):
        out = np.empty_like(inverse)
        in_slabs(_newton, len(out), displacement, inverse, out)
        inverse = out
    return inverse


@kernel
def _spread(
    displacement: np.ndarray, inverse: np.ndarray, copies: np.ndarray, edges: np.ndarray, start: int, stop: int
) -> None:
    """Sum psi(phi(x)) - x, and 1, over the voxels beside each phi(x), weighted as in linear interpolation."""
    sides = displacement.shape
    there = np.empty(3, np.float32)
    for part in range(start, stop):
        total = copies[part]
        for i in range(edges[part], edges[part + 1]):
            for j in range(sides[1]):
                for k in range(sides[2]):
                    u = displacement[i, j, k]
                    if u[0] == 0 and u[1] == 0 and u[2] == 0:
                        for n in range(3):
                            total[i, j, k, n] += inverse[i, j, k, n]
                        total[i, j, k, 3] += 1
                        continue
                    x, y, z = i + u[0], j + u[1], k + u[2]
                    # Points that leave the grid must not count at its border.
                    if not (0 <= x <= sides[0] - 1 and 0 <= y <= sides[1] - 1 and 0 <= z <= sides[2] - 1):
                        continue
                    at(inverse, x, y, z, there)
                    a, b, c = there[0] + u[0], there[1] + u[1], there[2] + u[2]
                    first_x, step_x, fx = locate(x, sides[0])
                    first_y, step_y, fy = locate(y, sides[1])
                    first_z, step_z, fz = locate(z, sides[2])
                    for p in range(2):
                        for q in range(2):
                            for r in range(2):
                                weight = (fx if p else 1 - fx) * (fy if q else 1 - fy) * (fz if r else 1 - fz)
                                place = total[first_x + p * step_x, first_y + q * step_y, first_z + r * step_z]
                                place[0] += weight * a
                                place[1] += weight * b
                                place[2] += weight * c
                                place[3] += weight


@kernel
def _subtract_means(inverse: np.ndarray, copies: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                weight = np.float32(0)
                for part in range(len(copies)):
                    weight += copies[part, i, j, k, 3]
                for n in range(3):
                    total = np.float32(0)
                    for part in range(len(copies)):
                        total += copies[part, i, j, k, n]
                    out[i, j, k, n] = inverse[i, j, k, n] - total / max(weight, np.float32(1))


def balance_inverse(inverse: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Spread an inverse's errors over its voxels, so that it inverts between them too.

    Where phi shrinks, many x land between the voxels of a steep psi, which `correct_inverse` makes exact at its own
    voxels only. Each voxel moves by the mean of psi(phi(x)) - x over the x that land beside it, weighted as in linear
    interpolation, and by less where the weights add up to less than 1: one step of SIRT (Gilbert 1972) towards
    psi o phi = identity.

    Args:
        inverse: [X, Y, Z, 3], voxels, of psi.
        displacement: [X, Y, Z, 3], voxels, of phi.
    """
    inverse, displacement = as_volume(inverse), as_volume(displacement)
    parts = min(threads(), _MOST_COPIES, len(inverse))
    copies = np.zeros((parts, *inverse.shape[:3], 4), np.float32)
    edges = np.linspace(0, len(inverse), parts + 1).astype(np.int64)
    in_slabs(_spread, parts, displacement, inverse, copies, edges, least=1)
    out = np.empty_like(inverse)
    in_slabs(_subtract_means, len(out), inverse, copies, out)
    return out
