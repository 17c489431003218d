"""Vectors of a field in another frame."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel


@kernel
def _turn(vectors: np.ndarray, matrix: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for n in range(start, stop):
        x, y, z = vectors[n, 0], vectors[n, 1], vectors[n, 2]
        for row in range(3):
            out[n, row] = matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z


def turn(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """matrix @ vector for each: [..., 3] float32 of [..., 3]; the matrix is [3, 3]."""
    if vectors.dtype not in (np.float32, np.float64):
        vectors = vectors.astype(float)
    flat = np.ascontiguousarray(vectors).reshape(-1, 3)
    out = np.empty(flat.shape, np.float32)
    in_slabs(_turn, len(flat), flat, np.array(matrix, float), out, least=4096)
    return out.reshape(vectors.shape)
