"""voxelmorph's conventions: displacements in voxels, affines about the grid's centre, and its .npz warps.

voxelmorph samples at index + displacement, and its affine M (3, 4) acts about c = (shape - 1) / 2
(`affine_to_dense_shift` with `shift_center=True`): sampled index = M[:, :3] (x - c) + M[:, 3] + c.

The fixed and the moving vertebra each have a network grid of their own, which share shape and spacing but not
their place in the world. The network's whole transform goes fixed RAS mm -> fixed network index -> phi ->
centred affine -> moving network index -> moving RAS mm. So phi lives on the fixed grid alone
(`field_from_network`) and the affine bridges the two (`affine_from_network`):
`Composite([field_from_network(phi, grid_fixed), affine_from_network(M, grid_fixed, grid_moving)])`.
"""

import os

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.network import field_from_network, field_to_network
from acsgreg_tf.geometry.transforms import DenseField, Transform
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, one_line
from acsgreg_tf.io.npz_volumes import npz_arrays


def write_npz(path: str | os.PathLike, transform: Transform, grid: Grid) -> None:
    """Write a transform as voxelmorph's scripts write a warp.

    Keys: `vol`, the total displacement (X, Y, Z, 3) float32 in voxels of `grid`, pull; `affine`, the 4x4 voxel to RAS
    mm of `grid`. voxelmorph applies `vol` to a moving image that lies on this same grid.

    Args:
        path: Ends in .npz.
        transform: A Transform.
        grid: The fixed Grid.

    Raises:
        InputError: The place cannot be written.
    """
    vol = field_to_network(transform.to_displacement(grid))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, vol=vol, affine=grid.affine)


def read_npz(path: str | os.PathLike, grid: Grid | None = None) -> DenseField:
    """Read a voxelmorph warp as a DenseField.

    Args:
        path: An .npz with `vol` (X, Y, Z, 3), and `affine` if the warp is this package's.
        grid: The fixed Grid, for a warp of voxelmorph's own, whose file does not say where it lies.

    Raises:
        InputError: Naming the file, when it is no such warp, or holds no `affine` and there is no grid.
    """
    try:
        arrays = npz_arrays(path)
    except InputError:
        raise
    except READ_FAULTS as error:
        raise InputError(f"{path}: cannot be read as an .npz warp ({one_line(error)})") from error
    vol = arrays.get("vol")
    if vol is None or vol.ndim != 4 or vol.shape[-1] != 3:
        shape = "none" if vol is None else vol.shape
        raise InputError(f"{path}: a voxelmorph warp must hold 'vol' of shape (X, Y, Z, 3), got {shape}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise InputError(f"{path}: '{name}' must hold real numbers, not {array.dtype}")
    try:
        if "affine" in arrays:
            grid = Grid(vol.shape[:3], arrays["affine"])
        elif grid is None:
            raise InputError("holds no 'affine', so the image that it was made for must be given")
        return field_from_network(vol, grid)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
