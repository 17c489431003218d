"""How a transform changes volumes: the Jacobian's logarithm on a grid, and the change of each level and part."""

from collections.abc import Mapping

import numpy as np

from acsgreg_tf.anatomy.parts import PARTS
from acsgreg_tf.geometry import Grid, resample
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image

__all__ = ["log_jacobian", "volume_changes"]

# The least determinant that is shown: the logarithm of a fold does not exist.
LEAST = 1e-3


def log_jacobian(transform: Transform, grid: Grid) -> np.ndarray:
    """log |det DT| at the voxels of a grid, (X, Y, Z) float32: above 0 where the moving side is larger.

    Central differences over two voxels, one-sided at the grid's faces; the linear part counts, so that it is the whole
    change of volume.

    Args:
        transform: Fixed RAS mm -> moving RAS mm.
        grid: Fixed grid, two voxels along each axis at least.
    """
    result = np.empty(grid.shape, np.float32)
    scale = abs(np.linalg.det(grid.affine[:3, :3]))
    for start, stop in grid.slabs():
        first, last = max(start - 1, 0), min(stop + 1, grid.shape[0])
        moved = transform.apply(grid.points(first, last))
        slopes = np.stack([np.gradient(moved, axis=axis) for axis in range(3)], axis=-1)
        determinant = np.linalg.det(slopes) / scale
        result[start:stop] = np.log(np.maximum(np.abs(determinant), LEAST))[start - first : stop - first]
    return result


def volume_changes(
    logs: np.ndarray, grid: Grid, masks: Mapping[str, np.ndarray], parts: Image | None = None
) -> dict[str, dict[str, float]]:
    """By how much the volume of each level, and of its parts, changes from fixed to moving, in percent.

    Args:
        logs: From `log_jacobian`.
        grid: Where they lie.
        masks: (X, Y, Z) bool by level, on the grid.
        parts: A map of the fixed scan's parts (VerSe's subregions), on any grid, or None.

    Returns:
        {level: {"whole" or a part's name: percent}}.
    """
    numbers = None
    if parts is not None:
        numbers = parts.data
        if not parts.grid.isclose(grid):
            numbers = resample(parts.data, parts.grid, grid, order=0)
    changes = {}
    for level, mask in masks.items():
        growth = np.exp(logs[mask])
        regions = {"whole": np.ones(len(growth), bool)}
        if numbers is not None:
            own = numbers[mask]
            regions |= {name: np.isin(own, values) for name, values in PARTS.items()}
        changes[level] = {
            name: float(100 * (growth[inside].mean() - 1)) for name, inside in regions.items() if inside.any()
        }
    return changes
