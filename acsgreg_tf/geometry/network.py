"""Network space: the one kind of grid that the network sees, whatever the scanner."""

import numpy as np

from acsgreg_tf.geometry.grid import Grid


def network_grid(center, shape=(128, 128, 64), spacing=1.0):
    """The RAS-oriented grid (x left to right, y back to front, z up) whose middle lies on `center`.

    Args:
        center: RAS mm (3,) of the index (shape - 1) / 2.
        shape: voxels along x, y, z.
        spacing: mm, one number or three.

    Returns:
        A Grid.
    """
    affine = np.diag(np.append(np.broadcast_to(spacing, 3), 1.0))
    affine[:3, 3] = np.asarray(center, dtype=float) - (np.array(shape) - 1) / 2 * spacing
    return Grid(shape, affine)
