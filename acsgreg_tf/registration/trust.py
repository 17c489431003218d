"""Where two vertebrae can be compared: not in what the user says to ignore, and not beyond the edge of a scan.

A vertebra that its scan cuts has a face there that is no surface, and metal hides the bone beside it. Distances are
trusted where no hidden surface can be nearer than the one that is seen; images are compared where both are seen.
"""

from dataclasses import replace

import numpy as np

from acsgreg_tf import fields
from acsgreg_tf.anatomy.vertebra import Vertebra
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid, resample
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.deformation import Deformation


def seen_region(vertebra: Vertebra, grids: list[Grid], ignore: Image | None) -> np.ndarray | None:
    """Where a vertebra is seen as it is: (X, Y, Z) bool on its grid, or None for everywhere.

    Args:
        vertebra: The vertebra; where it is cut, nothing is seen beyond the edges of its scan.
        grids: Of its image and its label map.
        ignore: A mask of what is not to be compared, on any grid, or None.

    Raises:
        InputError: The mask hides all of the vertebra.
    """
    seen = np.ones(vertebra.grid.shape, bool)
    if vertebra.cut:
        points = vertebra.grid.points()
        for grid in grids:
            at = grid.points_to_index(points)
            # A label that ends within a voxel of the outermost voxel centres ends there for want of a scan.
            seen &= ((at > 0.5) & (at < np.array(grid.shape) - 1.5)).all(axis=-1)
    if ignore is not None:
        hidden = hidden_region(vertebra, ignore)
        if hidden[vertebra.share > 0.5].all():
            raise InputError(f"{ignore.name}: hides all of the vertebra, so that nothing is left to compare")
        seen &= ~hidden
    return None if seen.all() else seen


def hidden_region(vertebra: Vertebra, ignore: Image) -> np.ndarray:
    """Where a mask of what is not to be compared lies on a vertebra's grid, (X, Y, Z) bool."""
    return resample((ignore.data != 0).astype(np.float32), ignore.grid, vertebra.grid) >= 0.01


def pulled(volume: np.ndarray, deformation: Deformation) -> np.ndarray:
    """A volume (X, Y, Z) of the moving side on the fixed grid, through affine and exp(v); its border value beyond."""
    phi = deformation.in_box(deformation.phi)
    return fields.warp_jointly(volume[..., None], deformation.affine, phi)[..., 0]


def pushed(volume: np.ndarray, deformation: Deformation) -> np.ndarray:
    """A volume (X, Y, Z) of the fixed side where exp(v) alone takes it, roughly (through exp(-v))."""
    return fields.warp(volume[..., None], replace(deformation, velocity=-deformation.velocity).phi)[..., 0]
