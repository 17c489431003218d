"""voxelmorph's habits: displacements in voxels, affines about the grid's centre, and its .npz warps.

voxelmorph samples at index + displacement, and its affine M (3, 4) acts about c = (shape - 1) / 2
(`affine_to_dense_shift` with `shift_center=True`): sampled index = M[:, :3] (x - c) + M[:, 3] + c.

The fixed and the moving vertebra each have a network grid of their own, which share shape and spacing but not
their place in the world. The network's whole transform goes fixed RAS mm -> fixed network index -> phi ->
centred affine -> moving network index -> moving RAS mm. So phi lives on the fixed grid alone
(`field_from_network`) and the affine bridges the two (`affine_from_network`):
`Composite([field_from_network(phi, grid_fixed), affine_from_network(M, grid_fixed, grid_moving)])`.
"""

import numpy as np

from acsgreg_tf._files import READ_FAULTS, atomic_path, one_line
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.transforms import Affine, DenseField


def affine_from_network(matrix, grid_fixed, grid_moving):
    """The network's affine as an Affine in RAS mm.

    Args:
        matrix: (3, 4), fixed network index -> moving network index about the centre, voxels.
        grid_fixed, grid_moving: the two network grids, of one shape.

    Raises:
        InputError: the matrix is not (3, 4), not finite or singular, or the grids differ in shape.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (3, 4):
        raise InputError(f"the network's affine must be (3, 4), got {matrix.shape}")
    to_centre, from_centre = _centring(grid_fixed, grid_moving)
    index_map = from_centre @ np.vstack([matrix, (0, 0, 0, 1)]) @ to_centre
    return Affine(grid_moving.affine @ index_map @ np.linalg.inv(grid_fixed.affine))


def affine_to_network(affine, grid_fixed, grid_moving):
    """The reverse of `affine_from_network`: (3, 4) float64.

    Raises:
        InputError: the grids differ in shape.
    """
    to_centre, from_centre = _centring(grid_fixed, grid_moving)
    index_map = np.linalg.inv(grid_moving.affine) @ affine.matrix @ grid_fixed.affine
    return (np.linalg.inv(from_centre) @ index_map @ np.linalg.inv(to_centre))[:3]


def field_from_network(displacement, grid, inverse=None):
    """The network's displacement as a DenseField in RAS mm.

    Args:
        displacement: (X, Y, Z, 3), voxels of `grid`, pull.
        grid: the fixed vertebra's network grid.
        inverse: the displacement of exp(-v), likewise, if the field shall have an inverse.

    Raises:
        InputError: a field does not fit the grid or is not finite.
    """
    linear = grid.affine[:3, :3].T
    return DenseField(_turn(displacement, linear), grid, None if inverse is None else _turn(inverse, linear))


def field_to_network(field):
    """A DenseField's displacement in voxels of its own grid, (X, Y, Z, 3) float32."""
    return _turn(field.displacement, np.linalg.inv(field.grid.affine[:3, :3]).T)


def write_npz(path, transform, grid):
    """Write a transform as voxelmorph's scripts write a warp.

    Keys: `vol`, the total displacement (X, Y, Z, 3) float32 in voxels of `grid`, pull; `affine`, the 4x4
    voxel to RAS mm of `grid`. voxelmorph applies `vol` to a moving image that lies on this same grid.

    Args:
        path: ends in .npz.
        transform: a Transform.
        grid: the fixed Grid.

    Raises:
        InputError: the place cannot be written.
    """
    vol = field_to_network(transform.to_displacement(grid))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, vol=vol, affine=grid.affine)


def read_npz(path, grid=None):
    """Read a voxelmorph warp as a DenseField.

    Args:
        path: an .npz with `vol` (X, Y, Z, 3), and `affine` if the warp is this package's.
        grid: the fixed Grid, for a warp of voxelmorph's own, which does not say where it lies.

    Raises:
        InputError: naming the file, when it is no such warp, or holds no `affine` and no grid is given.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = dict(file)
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as an .npz warp ({one_line(error)})") from error
    vol = held.get("vol")
    if vol is None or vol.ndim != 4 or vol.shape[-1] != 3:
        found = "none" if vol is None else vol.shape
        raise InputError(f"{path}: a voxelmorph warp must hold 'vol' of shape (X, Y, Z, 3), found {found}")
    try:
        if "affine" in held:
            grid = Grid(vol.shape[:3], held["affine"])
        elif grid is None:
            raise InputError("holds no 'affine', so the image that it was made for must be given")
        return field_from_network(vol, grid)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _centring(grid_fixed, grid_moving):
    if grid_fixed.shape != grid_moving.shape:
        raise InputError(
            f"the two network grids must share their shape, got {grid_fixed.shape}, {grid_moving.shape}"
        )
    to_centre, from_centre = np.eye(4), np.eye(4)
    from_centre[:3, 3] = (np.array(grid_fixed.shape) - 1) / 2
    to_centre[:3, 3] = -from_centre[:3, 3]
    return to_centre, from_centre


def _turn(vectors, matrix):
    return (np.asarray(vectors, dtype=float) @ matrix).astype(np.float32)
