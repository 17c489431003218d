"""Signed distances of the solids that a vertebra is built from, and how they are joined.

Every function takes points as three arrays of one shape (or broadcasting to one) in mm and returns float32
distances in mm, negative inside. Distances are exact to first order near the surface, which is all that smooth
unions need; `phantom.vertebra` rescales the finished field by its gradient.

The distance to an ellipsoid, the smooth minimum and the polygon follow I. Quilez, "distance functions"
(iquilezles.org/articles/distfunctions, public articles).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_TINY = np.float32(1e-6)


def smooth_min(a: np.ndarray, b: np.ndarray, width: float | np.floating) -> np.ndarray:
    """Union of two solids whose seam is rounded over `width` mm (quadratic polynomial smooth minimum)."""
    h = np.maximum(width - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / width)


def smooth_max(a: np.ndarray, b: np.ndarray, width: float | np.floating) -> np.ndarray:
    """Intersection of two solids whose edge is rounded over `width` mm."""
    h = np.maximum(width - np.abs(a - b), 0)
    return np.maximum(a, b) + h * h * np.float32(0.25 / width)


def sweep(
    points: Sequence[np.ndarray],
    start: Sequence[float] | np.ndarray,
    end: Sequence[float] | np.ndarray,
    start_radii: Sequence[float],
    end_radii: Sequence[float],
    axes: np.ndarray,
) -> np.ndarray:
    """An ellipsoid moved from `start` to `end` while its radii change: capsules, cones, blades and ellipsoids.

    Args:
        points: Three arrays, mm.
        start: (3,) mm.
        end: (3,) mm; equal ends give one ellipsoid.
        start_radii: (3,) half widths in mm along the rows of `axes`.
        end_radii: Likewise.
        axes: (3, 3), orthonormal.
    """
    axes = np.asarray(axes, float)
    start, end = np.asarray(start, float), np.asarray(end, float)
    way = end - start
    length2 = float(way @ way)
    offset = [np.asarray(p, np.float32) - np.float32(s) for p, s in zip(points, start, strict=True)]
    t: np.ndarray | None = None
    if length2 > 1e-6:
        # Project in the metric of the mean section, so that flat blades keep flat ends.
        metric = axes.T @ np.diag((0.5 * (np.asarray(start_radii) + end_radii)) ** -2.0) @ axes
        row = metric @ way / float(way @ metric @ way)
        t = np.clip(_dot(row, offset), 0, 1)
        offset = [o - np.float32(w) * t for o, w in zip(offset, way, strict=True)]
    # Ellipsoid: k0 (k0 - 1) / k1, with k0 = |offset / radii| and k1 = |offset / radii^2|; a hair off the axis, where
    # both vanish.
    k0: Any = _TINY
    k1: Any = _TINY / np.float32(min(start_radii) ** 2)
    for axis, r0, r1 in zip(axes, start_radii, end_radii, strict=True):
        radius = np.float32(r0) if t is None else np.float32(r0) + np.float32(r1 - r0) * t
        c = _dot(axis, offset) / radius
        k0 = k0 + c * c
        c = c / radius
        k1 = k1 + c * c
    return (k0 - np.sqrt(k0)) / np.sqrt(k1)


def polygon_plate(
    points: Sequence[np.ndarray],
    vertices: Sequence[Sequence[float]],
    half_thickness: float | np.ndarray,
    rounding: float,
) -> np.ndarray:
    """A plate that stands in the plane x = 0: a polygon in (y, z), `half_thickness` mm to either side.

    Args:
        points: (x, y, z) arrays, mm.
        vertices: (V, 2) corners (y, z) of the polygon, in mm, in order.
        half_thickness: A number in mm, or an array like the points (a plate thicker at one end).
        rounding: Radius of corners and edges in mm.
    """
    x, y, z = (np.asarray(p, np.float32) for p in points)
    corners = np.asarray(vertices, np.float32)
    d2: np.ndarray = np.full((), np.inf, np.float32)
    inside = np.ones(np.broadcast(y, z).shape, np.float32)
    for (ay, az), (by, bz) in zip(np.roll(corners, 1, axis=0), corners, strict=True):
        ey, ez = by - ay, bz - az
        wy, wz = y - ay, z - az
        t = np.clip((wy * ey + wz * ez) / (ey * ey + ez * ez), 0, 1)
        ny, nz = wy - ey * t, wz - ez * t
        d2 = np.minimum(d2, ny * ny + nz * nz)
        above, below, side = z >= az, z < bz, ey * wz > ez * wy
        crosses = (above & below & side) | ~(above | below | side)
        inside = np.where(crosses, -inside, inside)
    flat = inside * np.sqrt(d2) + np.float32(rounding)
    slab = np.abs(x) - (half_thickness - np.float32(rounding))
    outside = np.sqrt(np.maximum(flat, 0) ** 2 + np.maximum(slab, 0) ** 2)
    return np.minimum(np.maximum(flat, slab), 0) + outside - np.float32(rounding)


def gauge(
    x: np.ndarray, y: np.ndarray, half_x: float | np.ndarray, half_y: float | np.ndarray, power: float | np.ndarray
) -> np.ndarray:
    """How far out of a superellipse a point lies: 0 in its centre, 1 on |x/half_x|^power + |y/half_y|^power = 1.

    Every argument may be an array. Dividing a point's distance from the centre by it gives the edge along that ray.
    """
    return (np.abs(x / half_x) ** power + np.abs(y / half_y) ** power) ** (1 / power)


def _dot(row: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    x, y, z = (np.float32(r) * c for r, c in zip(row, columns, strict=True))
    return x + y + z
