"""Surfaces for NiiVue: triangles of a mask, coloured by their distance from another surface, as MZ3 files."""

import struct

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import map_coordinates

from acsgreg_tf.geometry import Grid
from acsgreg_tf.registration.surface_view import COLOURS, MOST_MM
from acsgreg_tf.report.volumes import packed

__all__ = ["MOST_MM", "colours_of", "distances_at", "mz3", "triangles"]


def triangles(distance: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The surface where a signed distance crosses zero (marching cubes).

    Args:
        distance: (X, Y, Z), negative inside (`geometry.distance`).
        grid: Its Grid.

    Returns:
        Vertices (V, 3) in RAS mm and faces (F, 3), counter-clockwise from outside; both empty without a surface.
    """
    from skimage.measure import marching_cubes

    padded = np.pad(np.asarray(distance, np.float32), 1, constant_values=1.0)
    if not padded.min() < 0 < padded.max():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="descent")
    return grid.index_to_points(vertices - 1).astype(np.float32), faces.astype(np.int32)


def distances_at(points: np.ndarray, distance: np.ndarray, grid: Grid) -> np.ndarray:
    """How far points lie from a surface, mm, never negative.

    Args:
        points: (N, 3), RAS mm.
        distance: (X, Y, Z), signed, voxels of `grid`.
        grid: Of cubes.
    """
    index = np.moveaxis(grid.points_to_index(points), -1, 0)
    return np.abs(map_coordinates(distance, index, order=1, mode="nearest")) * grid.spacing.max()


def colours_of(distances: ArrayLike, most: float = MOST_MM) -> np.ndarray:
    """RGBA (N, 4) uint8 of distances in mm; `most` and more get the last colour."""
    from matplotlib import colormaps

    return colormaps[COLOURS](np.clip(np.asarray(distances, float) / most, 0, 1), bytes=True)


def mz3(vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray | None = None) -> bytes:
    """A gzipped MZ3 file (https://github.com/neurolabusc/surf-ice, its format section).

    Args:
        vertices: (V, 3), RAS mm.
        faces: (F, 3).
        colours: RGBA (V, 4) uint8, or None.
    """
    has = 1 | 2 | (0 if colours is None else 4)  # faces, vertices, colours
    parts = [struct.pack("<HHIII", 0x5A4D, has, len(faces), len(vertices), 0), faces.astype("<i4").tobytes()]
    parts.append(vertices.astype("<f4").tobytes())
    if colours is not None:
        parts.append(colours.astype(np.uint8).tobytes())
    return packed(b"".join(parts))
