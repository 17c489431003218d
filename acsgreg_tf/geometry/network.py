"""Network space: the one kind of grid that the network sees, whatever the scanner."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields import turn
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Affine, DenseField

# The network's grid: 1 mm voxels along x (left to right), y (back to front) and z (up).
NETWORK_SHAPE = (128, 128, 64)


def network_grid(
    center: ArrayLike, shape: Sequence[int] = NETWORK_SHAPE, spacing: float | Sequence[float] = 1.0
) -> Grid:
    """The RAS-oriented grid (x left to right, y back to front, z up) whose middle lies on `center`.

    Args:
        center: RAS mm (3,) of the index (shape - 1) / 2.
        shape: Voxels along x, y, z.
        spacing: Of a voxel in mm, one number or three.

    Returns:
        A Grid.
    """
    affine = np.diag(np.append(np.broadcast_to(spacing, 3), 1.0))
    affine[:3, 3] = np.asarray(center, dtype=float) - (np.array(shape) - 1) / 2 * spacing
    return Grid(tuple(shape), affine)


def affine_from_network(matrix: ArrayLike, grid_fixed: Grid, grid_moving: Grid) -> Affine:
    """The network's affine as an Affine in RAS mm.

    Args:
        matrix: (3, 4), fixed network index -> moving network index about the centre, voxels.
        grid_fixed: The fixed vertebra's network grid.
        grid_moving: The moving one's, of the same shape.

    Raises:
        InputError: The matrix is not (3, 4), not finite or singular, or the grids differ in shape.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (3, 4):
        raise InputError(f"the network's affine must be (3, 4), got {matrix.shape}")
    to_centre, from_centre = _centring(grid_fixed, grid_moving)
    index_map = from_centre @ np.vstack([matrix, (0, 0, 0, 1)]) @ to_centre
    return Affine(grid_moving.affine @ index_map @ np.linalg.inv(grid_fixed.affine))


def affine_to_network(affine: Affine, grid_fixed: Grid, grid_moving: Grid) -> np.ndarray:
    """The reverse of `affine_from_network`: (3, 4) float64.

    Raises:
        InputError: The grids differ in shape.
    """
    to_centre, from_centre = _centring(grid_fixed, grid_moving)
    index_map = np.linalg.inv(grid_moving.affine) @ affine.matrix @ grid_fixed.affine
    return (np.linalg.inv(from_centre) @ index_map @ np.linalg.inv(to_centre))[:3]


def field_from_network(displacement: ArrayLike, grid: Grid, inverse: ArrayLike | None = None) -> DenseField:
    """The network's displacement as a DenseField in RAS mm.

    Args:
        displacement: (X, Y, Z, 3), voxels of `grid`, pull.
        grid: The fixed vertebra's network grid.
        inverse: The displacement of exp(-v), likewise, if the field shall have an inverse.

    Raises:
        InputError: A field does not fit the grid or is not finite.
    """
    linear = grid.affine[:3, :3]
    inverse = None if inverse is None else turn(np.asarray(inverse), linear)
    return DenseField(turn(np.asarray(displacement), linear), grid, inverse)


def field_to_network(field: DenseField) -> np.ndarray:
    """A DenseField's displacement in voxels of its own grid, (X, Y, Z, 3) float32."""
    return turn(field.displacement, np.linalg.inv(field.grid.affine[:3, :3]))


def _centring(grid_fixed: Grid, grid_moving: Grid) -> tuple[np.ndarray, np.ndarray]:
    if grid_fixed.shape != grid_moving.shape:
        raise InputError(f"the two network grids must share their shape, got {grid_fixed.shape}, {grid_moving.shape}")
    to_centre, from_centre = np.eye(4), np.eye(4)
    from_centre[:3, 3] = (np.array(grid_fixed.shape) - 1) / 2
    to_centre[:3, 3] = -from_centre[:3, 3]
    return to_centre, from_centre
