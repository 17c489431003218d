"""How far many surfaces, each a signed distance, miss their partners through the joint warp, with its gradient."""

import numpy as np

from acsgreg_tf.fields.gradients import about_centre, pass_on
from acsgreg_tf.fields.kernels import in_slabs, kernel, locate
from acsgreg_tf.fields.sampling import about_origin, as_volume

__all__ = ["surface_misses"]


@kernel
def _surface_misses(
    volume: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    counts: np.ndarray,
    matrix: np.ndarray,
    field: np.ndarray,
    by_field: np.ndarray,
    by_matrix: np.ndarray,
    values: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """by_field [x, y, z, 3], and each slab's sums: by_matrix [x, 3, 4] of the slope times (x, y, z, 1), values [x]."""
    sides = volume.shape
    slope = np.empty(3)
    for i in range(start, stop):
        total = by_matrix[i]
        value = 0.0
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                for n in range(3):
                    by_field[i, j, k, n] = 0
                if counts[i, j, k] == 0:
                    continue
                x, y, z = i + field[i, j, k, 0], j + field[i, j, k, 1], k + field[i, j, k, 2]
                to_x = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]
                to_y = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]
                to_z = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
                a, da, fx = locate(to_x, sides[0])
                b, db, fy = locate(to_y, sides[1])
                c, dc, fz = locate(to_z, sides[2])
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                slope[0], slope[1], slope[2] = 0.0, 0.0, 0.0
                for n in range(sides[3]):
                    # The cell's corners: the last letter of each pair is z's, the first index x's.
                    v00, v01 = volume[a, b, c, n], volume[a, b, c + dc, n]
                    v10, v11 = volume[a, b + db, c, n], volume[a, b + db, c + dc, n]
                    w00, w01 = volume[a + da, b, c, n], volume[a + da, b, c + dc, n]
                    w10, w11 = volume[a + da, b + db, c, n], volume[a + da, b + db, c + dc, n]
                    near = gy * (gz * v00 + fz * v01) + fy * (gz * v10 + fz * v11)
                    far = gy * (gz * w00 + fz * w01) + fy * (gz * w10 + fz * w11)
                    miss = gx * near + fx * far - target[i, j, k, n]
                    if miss == 0:
                        continue
                    root = np.sqrt(0.25 + miss * miss)
                    weight = weights[n] * counts[i, j, k]
                    value += weight * (root - 0.5)
                    up = weight * miss / root
                    slope[0] += up * (far - near)
                    slope[1] += up * (
                        gx * (gz * (v10 - v00) + fz * (v11 - v01)) + fx * (gz * (w10 - w00) + fz * (w11 - w01))
                    )
                    slope[2] += up * (
                        gx * (gy * (v01 - v00) + fy * (v11 - v10)) + fx * (gy * (w01 - w00) + fy * (w11 - w10))
                    )
                pass_on(slope, (to_x, to_y, to_z), (x, y, z), sides, matrix, by_field[i, j, k], total)
        values[i] = value


def surface_misses(
    moving: np.ndarray,
    fixed: np.ndarray,
    weights: np.ndarray,
    counts: np.ndarray,
    affine: np.ndarray,
    displacement: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """The weighted sum of rounded differences (`losses.rounded_difference`), and its gradients.

    Args:
        moving: [X, Y, Z, K], a signed distance a surface, negative inside.
        fixed: [x, y, z, K], those of their partners.
        weights: [K], of the surfaces.
        counts: [x, y, z], how much each voxel counts; 0 is skipped.
        affine: [3, 4], voxels about the centre of the displacement's grid.
        displacement: [x, y, z, 3].

    Returns:
        (value, gradient by the affine [3, 4], gradient by the displacement [x, y, z, 3]).
    """
    shape = displacement.shape[:3]
    by_field, by_matrix = np.empty((*shape, 3), np.float32), np.zeros((shape[0], 3, 4))
    values = np.zeros(shape[0])
    volumes = as_volume(moving), as_volume(fixed), np.asarray(weights, float), as_volume(counts)
    warp = about_origin(affine, shape), as_volume(displacement)
    in_slabs(_surface_misses, shape[0], *volumes, *warp, by_field, by_matrix, values)
    return float(values.sum()), about_centre(by_matrix, shape), by_field
