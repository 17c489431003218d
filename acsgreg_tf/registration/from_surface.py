"""A surface in place of a scan: its inside as a label map."""

import os
from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.geometry.distance import inside_of
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.images import Image

__all__ = ["SURFACE_ENDINGS", "is_surface", "label_of_surface"]

# Those of `io.surfaces`, which needs the vtk package.
SURFACE_ENDINGS = (".stl", ".ply", ".vtk")
# Voxels of the label map, and how much of nothing lies round the surface, mm.
SPACING, ROOM = 0.5, 4.0
# No vertebra is larger, mm.
MOST = 250.0


def is_surface(source: object) -> bool:
    """Whether a source is the path of a surface file, by its ending."""
    return isinstance(source, (str, os.PathLike)) and ending_of(Path(source)) in SURFACE_ENDINGS


def label_of_surface(path: str | os.PathLike, coordinates: str | None = None) -> Image:
    """What lies inside a closed surface, as a label map of half a millimetre: 1 inside, 0 outside.

    Args:
        path: Ends in .stl, .ply or .vtk.
        coordinates: "RAS" or "LPS"; None is what the file says, else RAS.

    Raises:
        InputError: Naming the file: it cannot be read, vtk is not installed, the surface is not closed, or it is too
            large for a vertebra.
    """
    try:
        from acsgreg_tf.io.surfaces import read_surface
    except ImportError as error:
        raise InputError(f"{path}: surfaces need the vtk package: pip install vtk") from error
    surface = read_surface(path, coordinates)
    if not len(surface.triangles):
        raise InputError(f"{path}: holds no faces")
    low, high = surface.points.min(axis=0) - ROOM, surface.points.max(axis=0) + ROOM
    if (high - low > MOST).any():
        size = " x ".join(f"{side:.0f}" for side in high - low - 2 * ROOM)
        raise InputError(f"{path}: measures {size} mm, more than a vertebra; is it in mm?")
    shape = tuple(int(side) for side in np.ceil((high - low) / SPACING) + 1)
    grid = network_grid((low + high) / 2, shape, SPACING)
    corners = grid.points_to_index(surface.points)[surface.triangles]
    return Image(inside_of(corners, shape, str(path)).astype(np.uint8), grid, str(path))
