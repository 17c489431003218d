"""Grids, images and transforms as awkward as scanners make them, shared by the geometry tests."""

import itertools

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from acsgreg_tf.geometry import Affine, Composite, DenseField, Grid, network_grid

# All 48 ways to store a volume, as nibabel writes orientations: new axis and sign of every old axis.
ORIENTATIONS = [
    [[axis, sign] for axis, sign in zip(axes, signs)]
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def centred_grid(shape, spacing, angles=(0, 0, 0), center=(0, 0, 0)):
    """A Grid turned by Euler angles (radians) about its centre; negative spacings flip axes."""
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*angles) @ np.diag(spacing)
    affine[:3, 3] = np.array(center) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def fixed_grid():
    return centred_grid((40, 36, 30), (-1, 1.2, 1.5), (0.3, 0.1, -0.2), (10, 20, 30))


def moving_grid():
    return centred_grid((30, 44, 25), (1.3, 0.9, -2), (-0.2, 0.4, 0.1), (-50, 5, 80))


def smooth_image(shape, seed=0):
    """Random, smooth, with a range of exactly 1 and no zeros."""
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return ((image - image.min()) / np.ptp(image) + 0.1).astype(np.float32)


def smooth_field(grid, size, seed=1):
    """Random smooth displacements of at most `size` mm on `grid`, as a DenseField."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(*grid.shape, 3)), (4, 4, 4, 0))
    return DenseField(field * size / np.abs(field).max(), grid)


def rigid_and_scale(grid_from, grid_to):
    """An Affine that turns, stretches and takes one grid's centre near the other's."""
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(0.1, -0.15, 0.2) @ np.diag([1.1, 0.95, 1.02])
    matrix[:3, 3] = grid_to.center - matrix[:3, :3] @ grid_from.center + (1, 2, -3)
    return Affine(matrix)


def network_transform(grid_from, grid_to):
    """phi on a network grid inside of `grid_from`, then an affine: what a registration gives."""
    field = smooth_field(network_grid(grid_from.center, (32, 32, 32), 1.1), 4)
    return Composite([field, rigid_and_scale(grid_from, grid_to)])
