"""Determinants and the search for folded cells, compiled: `jacobian.folded_cells` says what a fold is."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel


@kernel
def _triple(a: np.ndarray, b: np.ndarray, c: np.ndarray, origin: np.ndarray) -> float:
    """The determinant of three edges from one point."""
    a0, a1, a2 = a[0] - origin[0], a[1] - origin[1], a[2] - origin[2]
    b0, b1, b2 = b[0] - origin[0], b[1] - origin[1], b[2] - origin[2]
    c0, c1, c2 = c[0] - origin[0], c[1] - origin[1], c[2] - origin[2]
    return a0 * (b1 * c2 - b2 * c1) + a1 * (b2 * c0 - b0 * c2) + a2 * (b0 * c1 - b1 * c0)


@kernel
def least_determinant(p: np.ndarray) -> float:
    """The least of the ten determinants of a cell whose corners are mapped to p (2, 2, 2, 3); for inside kernels."""
    least = np.inf
    for i in range(2):
        for j in range(2):
            for k in range(2):
                sign = 1.0 if (i + j + k) % 2 == 0 else -1.0
                value = sign * _triple(p[1 - i, j, k], p[i, 1 - j, k], p[i, j, 1 - k], p[i, j, k])
                least = min(least, value)
    least = min(least, -_triple(p[0, 0, 1], p[1, 0, 0], p[0, 1, 0], p[1, 1, 1]))
    return min(least, _triple(p[1, 1, 0], p[0, 1, 1], p[1, 0, 1], p[0, 0, 0]))


@kernel
def edge_changes(field: np.ndarray, i: int, j: int, out: np.ndarray) -> None:
    """Write the largest squares by which a displacement changes the edges along each axis of the cells of one row.

    For use inside kernels.

    Args:
        field: [X, Y, Z, 3].
        i: The row's cells are those between voxels i and i + 1 of the first axis,
        j: and j and j + 1 of the second.
        out: [3, Z], by axis and cell; the last voxel's is left without meaning.
    """
    last = field.shape[2] - 1
    for k in range(last + 1):
        xa, xb, ya, yb = field.dtype.type(0), field.dtype.type(0), field.dtype.type(0), field.dtype.type(0)
        for n in range(3):
            xa += (field[i + 1, j, k, n] - field[i, j, k, n]) ** 2
            xb += (field[i + 1, j + 1, k, n] - field[i, j + 1, k, n]) ** 2
            ya += (field[i, j + 1, k, n] - field[i, j, k, n]) ** 2
            yb += (field[i + 1, j + 1, k, n] - field[i + 1, j, k, n]) ** 2
        out[0, k], out[1, k] = max(xa, xb), max(ya, yb)
    for k in range(last):
        # A cell has the edges of both its voxels along this row.
        out[0, k], out[1, k] = max(out[0, k], out[0, k + 1]), max(out[1, k], out[1, k + 1])
        largest = field.dtype.type(0)
        for a in range(2):
            for b in range(2):
                square = field.dtype.type(0)
                for n in range(3):
                    square += (field[i + a, j + b, k + 1, n] - field[i + a, j + b, k, n]) ** 2
                largest = max(largest, square)
        out[2, k] = largest


@kernel
def _search(field: np.ndarray, least: float, limit: float, out: np.ndarray, start: int, stop: int) -> None:
    p, changes = np.empty((2, 2, 2, 3)), np.empty((3, field.shape[2]), field.dtype)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            edge_changes(field, i, j, changes)
            for k in range(out.shape[2]):
                if changes[0, k] + changes[1, k] + changes[2, k] < limit:
                    continue
                for a in range(2):
                    for b in range(2):
                        for c in range(2):
                            p[a, b, c, 0] = a + field[i + a, j + b, k + c, 0]
                            p[a, b, c, 1] = b + field[i + a, j + b, k + c, 1]
                            p[a, b, c, 2] = c + field[i + a, j + b, k + c, 2]
                out[i, j, k] = least_determinant(p) <= least


@kernel
def _forward(field: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                for n in range(3):
                    u = field[i, j, k, n]
                    a[n] = field[i + 1, j, k, n] - u
                    b[n] = field[i, j + 1, k, n] - u
                    c[n] = field[i, j, k + 1, n] - u
                a[0] += 1
                b[1] += 1
                c[2] += 1
                out[i, j, k] = (
                    a[0] * (b[1] * c[2] - b[2] * c[1])
                    + a[1] * (b[2] * c[0] - b[0] * c[2])
                    + a[2] * (b[0] * c[1] - b[1] * c[0])
                )


def forward_determinants(displacement: np.ndarray) -> np.ndarray:
    """Jacobian determinants by forward differences, (X-1, Y-1, Z-1) float64, of a displacement (X, Y, Z, 3)."""
    out = np.empty(np.subtract(displacement.shape[:3], 1))
    in_slabs(_forward, len(out), _as_field(displacement), out)
    return out


def bound(least: float) -> float:
    """The sum of squared changes below which no determinant of a cell is `least` or less.

    With q^2 the sum over the axes of the largest square by which an edge of the cell differs from the identity's, a
    corner determinant is (1 - q)^3 at least: its matrix is I + E with |E| <= q. A central one is 2 (1 - 2q)^3 at least:
    its faces are a matrix of determinant 2 and least singular value 1, each changed by two edges.
    """
    least = max(least, 0.0)
    return max(min(1 - np.cbrt(least), (1 - np.cbrt(least / 2)) / 2) - 1e-6, 0.0) ** 2


def cells_up_to(displacement: np.ndarray, least: float) -> np.ndarray:
    """The cells (X-1, Y-1, Z-1) bool of a displacement (X, Y, Z, 3) with a determinant of `least` or less."""
    out = np.zeros(np.subtract(displacement.shape[:3], 1), bool)
    in_slabs(_search, len(out), _as_field(displacement), least, bound(least), out)
    return out


def _as_field(displacement: np.ndarray) -> np.ndarray:
    """As the kernels take it: float32 or float64."""
    return np.ascontiguousarray(displacement, np.float32 if displacement.dtype == np.float32 else np.float64)
