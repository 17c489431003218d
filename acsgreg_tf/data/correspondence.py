"""Which point of one vertebra answers to which of another: two signed distances matched.

This is what makes a shape between two people sound: averaging distances alone would cut off every process
that does not happen to overlap. It is quick (under a second) and coarse, no substitute for a registration.
"""

import numpy as np
from scipy import ndimage

from acsgreg_tf.data._lattice import sample

STEP = 4  # voxels; spacing of the lattice that holds a correspondence
_REACH = 12.0  # mm; farther from the surface, distances say little


def correspond(fixed, moving, spacing=1.0):
    """The displacement (3, x, y, z) in voxels from points of `fixed` to points of `moving`.

    `fixed` and `moving` are signed distances (X, Y, Z) in mm on a grid of voxels of `spacing` mm; the displacement lives
    on a lattice of `STEP` voxels. After an affine fit, the surfaces are drawn together along the distances' slopes,
    smoothed less and less (demons; Thirion, Medical Image Analysis 1998).
    """
    matrix, offset = _fit_affine(fixed, moving)
    blurred = ndimage.gaussian_filter(moving, 1.0)
    target = np.clip(ndimage.gaussian_filter(fixed, 1.0)[::STEP, ::STEP, ::STEP], -_REACH, _REACH)
    points = np.indices(target.shape, np.float32) * STEP
    field = np.einsum("ij,jxyz->ixyz", matrix, points) + offset[:, None, None, None] - points
    for smoothness in np.repeat([16, 12, 8, 8, 6], 12) / STEP / spacing:
        value = np.clip(sample(blurred[None], points + field)[0], -_REACH, _REACH)
        slope = np.stack(np.gradient(value, STEP))
        missing = np.clip(target - value, -4, 4)
        # Near either surface the distances are sure; elsewhere the field follows its surroundings.
        trust = np.exp(-((np.minimum(abs(target), abs(value)) / 4) ** 2)) + 0.02
        force = trust * missing * slope / ((slope**2).sum(axis=0) + 0.05)
        weight = ndimage.gaussian_filter(trust, smoothness) + 1e-3
        field = field + np.stack([ndimage.gaussian_filter(f, smoothness) for f in force]) / weight
    return field.astype(np.float32)


def inverse_part(field, t):
    """The displacement (3, x, y, z) in voxels that undoes `t` times `field`; found by fixed-point steps."""
    points = np.indices(field.shape[1:], np.float32)
    back = np.zeros_like(field)
    for _ in range(10):
        back = -t * sample(field, points + back / STEP)
    return back


def _fit_affine(fixed, moving, iterations=15):
    """Matrix (3, 3) and offset (3,) in voxels from points of `fixed` to those of `moving`; Gauss-Newton."""
    fixed_inside, moving_inside = np.argwhere(fixed < 0), np.argwhere(moving < 0)
    middle = fixed_inside.mean(axis=0)
    offset = moving_inside.mean(axis=0)
    matrix = np.diag(moving_inside.std(axis=0) / fixed_inside.std(axis=0))

    moving = np.clip(moving, -6, 6)
    slopes = np.stack(np.gradient(moving))
    target = np.clip(fixed, -6, 6)[::3, ::3, ::3]
    near = np.abs(target) < 6
    target, local = target[near], np.argwhere(near) * 3 - middle
    unit = 30.0  # mm; makes a change of the matrix as large as one of the offset
    for _ in range(iterations):
        at = (local @ matrix.T + offset).T
        value, slope = sample(moving[None], at)[0], sample(slopes, at).T
        of_matrix = slope[:, :, None] * local[:, None, :] / unit
        columns = np.concatenate([of_matrix.reshape(-1, 9), slope], axis=1)
        normal = columns.T @ columns
        normal[np.diag_indices(12)] += 1e-3 * np.trace(normal) / 12
        change = np.linalg.solve(normal, columns.T @ (target - value))
        matrix = matrix + change[:9].reshape(3, 3) / unit
        offset = offset + change[9:]
    return matrix, offset - matrix @ middle
