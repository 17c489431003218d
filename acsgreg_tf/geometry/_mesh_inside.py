"""Which voxels lie inside a triangle surface, by counting crossings along lines."""

from collections.abc import Sequence

import numpy as np


def votes_inside(triangles: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Along how many of the three axes each voxel is inside: uint8 (X, Y, Z), 0 to 3.

    `triangles` is (F, 3, 3), its corners in voxels of a grid of `shape`. A voxel is inside along an axis if
    an odd number of triangles lies below it, which needs neither welded corners nor consistent windings;
    where a surface has holes, the axes disagree.
    """
    votes = np.zeros(shape, np.uint8)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        inside = _inside_along_z(triangles[:, :, order], [shape[i] for i in order])
        votes += inside.transpose(np.argsort(order))
    return votes


def _inside_along_z(triangles: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    # Lines a little off the voxels' centres: none meets an edge or a corner that sits on a round coordinate.
    corners = triangles - (1.3e-4, 0.7e-4, 0.0)
    first = np.maximum(np.ceil(corners[:, :, :2].min(axis=1)), 0).astype(int)
    last = np.minimum(np.floor(corners[:, :, :2].max(axis=1)), np.array(shape[:2]) - 1).astype(int)
    # Every line (x, y) within every triangle's bounding rectangle, as flat lists.
    count = np.maximum(last - first + 1, 0)
    total = count.prod(axis=1)
    which = np.repeat(np.arange(len(total)), total)
    running = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    x = first[which, 0] + running // count[which, 1]
    y = first[which, 1] + running % count[which, 1]

    a, b, c = (corners[which, k] for k in range(3))
    ab, ac, ap = b - a, c - a, np.stack([x, y], axis=1) - a[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):  # triangles seen edge-on hit nothing
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        v = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
        w = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
        hit = (v >= 0) & (w >= 0) & (v + w <= 1)
        z = a[:, 2] + v * ab[:, 2] + w * ac[:, 2]
    z = np.clip(np.ceil(z[hit]), 0, shape[2]).astype(int)
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), np.uint8)
    np.add.at(crossings, (x[hit], y[hit], z), 1)
    return np.cumsum(crossings[:, :, :-1], axis=2, dtype=np.uint8) % 2
