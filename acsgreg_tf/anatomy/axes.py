"""A vertebra's own axes, from its shape: to the right, forward and up."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import fit_affine

__all__ = ["Axes", "axes_of"]

# The body's core: voxels that lie this share of the largest depth below the surface, at least.
CORE = 0.5
# mm by which depths are smoothed before the deepest place is looked for.
SMOOTH = 2.0


@dataclass(frozen=True, eq=False)
class Axes:
    """A vertebra's own axes.

    Attributes:
        matrix: (3, 3), columns right, anterior and superior, unit vectors in RAS, orthogonal.
        centre: The middle of the body's core, RAS mm (3,).
    """

    matrix: np.ndarray
    centre: np.ndarray


def axes_of(share: np.ndarray, grid: Grid, distance: np.ndarray | None = None) -> Axes:
    """The axes of a vertebra.

    "Right" is the normal of the plane about which the vertebra is most nearly symmetric: its mirror image is laid on
    it, rigidly, by their surfaces. "Superior" is the direction in which the body's core is flattest, which is nearly
    the normal of its endplates, made orthogonal to "right"; "anterior" is orthogonal to both.

    Args:
        share: (X, Y, Z) in [0, 1], how much of a voxel is vertebra; 1 mm, RAS, as the network sees it.
        grid: Where it lies.
        distance: Its signed distance, (X, Y, Z) in voxels, where that is known already (`geometry.distance.from_crop`).
    """
    right = _symmetry_normal(from_crop(share) if distance is None else distance)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(np.pad(share > 0.5, 1))[1:-1, 1:-1, 1:-1], SMOOTH)
    pieces, _ = ndimage.label(depth > CORE * depth.max())
    core = np.argwhere(pieces == pieces[np.unravel_index(depth.argmax(), depth.shape)])
    centre = core.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov((core - centre).T) + 1e-6 * np.eye(3))
    # The flattest direction may be any where the core is a ball; then up is up.
    superior = directions[:, 0] if abs(directions[2, 0]) > 0.5 else np.array([0.0, 0.0, 1.0])
    superior = superior * np.sign(superior[2])
    superior = superior - right * (right @ superior)
    superior /= np.linalg.norm(superior)
    return Axes(np.stack([right, np.cross(superior, right), superior], axis=1), grid.index_to_points(centre))


def _symmetry_normal(distance: np.ndarray | None) -> np.ndarray:
    if distance is None:
        return np.array([1.0, 0.0, 0.0])
    turned = fit_affine(distance, np.ascontiguousarray(distance[::-1]), np.eye(3, 4), kind="rigid")[:, :3]
    reflection = np.diag([-1.0, 1.0, 1.0]) @ turned
    values, vectors = np.linalg.eigh((np.eye(3) - (reflection + reflection.T) / 2) / 2)
    return vectors[:, values.argmax()] * np.sign(vectors[0, values.argmax()])
