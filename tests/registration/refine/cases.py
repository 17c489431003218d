"""What the refinement tests share: a textured body, the same body moved by a known map, and small phantoms."""

import numpy as np
from scipy import ndimage

from acsgreg_tf.ops import affine as affine_ops
from acsgreg_tf.ops import fields
from acsgreg_tf.synthesis import phantom
from tests.helpers import about_centre, smooth_field, turned

# Small enough that nothing is worth a compilation by XLA; shapes are shared, so that they are traced once.
SHAPE, LATTICE = (24, 24, 16), (12, 12, 8)
# For the phantoms: a lumbar vertebra at 2.7 mm.
COARSE, SPACING = (48, 48, 24), 2.7
IDENTITY = np.eye(3, 4)


def body(points=None, half=(8.0, 7.0, 5.0), seed=0):
    """(image, mask) of an ellipsoid with a bump and a smooth texture, at points (X, Y, Z, 3) about its middle."""
    points = about_centre(SHAPE) if points is None else points
    rng = np.random.default_rng(seed)
    depth = 1 - np.linalg.norm(points / half, axis=-1)
    depth = np.maximum(depth, 0.5 - np.linalg.norm((points - (0, -7, 1)) / (5, 6, 4), axis=-1))
    texture = 0.0
    for _ in range(12):
        direction = rng.normal(size=3)
        direction *= rng.uniform(0.7, 1.3) / np.linalg.norm(direction)  # waves of 5 to 9 voxels
        texture = texture + np.sin(points @ direction + rng.uniform(0, 2 * np.pi))
    return (np.clip(0.5 + 0.1 * texture, 0.05, 1) * (depth > 0)).astype("float32"), depth > 0


def textured(points):
    """(image, mask) of a soft-edged ellipsoid with a bump on the phantoms' grid, its texture of 4.5 to 6 voxels."""
    rng, half = np.random.default_rng(0), np.array([17.0, 14.0, 9.0])
    depth = (1 - np.linalg.norm(points / half, axis=-1)) * half.min()
    depth = np.maximum(
        depth, 6 - np.linalg.norm(points - (0, -14, 2), axis=-1)
    )  # an ellipsoid alone may turn in itself
    texture = 0.0
    for _ in range(12):
        direction = rng.normal(size=3)
        direction *= rng.uniform(1.0, 1.4) / np.linalg.norm(direction)
        texture = texture + np.sin(points @ direction + rng.uniform(0, 2 * np.pi))
    image = np.clip(0.5 + 0.16 * texture, 0.05, 1) * np.clip(depth / 1.5 + 0.5, 0, 1)
    return image.astype("float32"), depth > 0


def twisted(points, degrees, at=9.0):
    """Points (X, Y, Z, 3) turned about z, by so many degrees at that height: a diffeomorphism that is known exactly."""
    angle = np.deg2rad(degrees) * points[..., 2] / at
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z], axis=-1)


def known(peak=1.2, seed=3):
    """A velocity [x, y, z, 3] on the lattice, and exp(v) [X, Y, Z, 3] on the full grid."""
    velocity = smooth_field(LATTICE, peak, sigma=2.5, seed=seed)
    return velocity[0], np.array(fields.resize_displacement(fields.integrate(velocity), SHAPE))[0]


def whole(refined):
    """The displacement of a refinement's phi and affine together, (X, Y, Z, 3)."""
    phi, affine = refined.deformation.phi, refined.affine
    grid = about_centre(phi.shape[:3])
    return (grid + phi) @ affine[:, :3].T + affine[:, 3] - grid


def moved(refined, mask):
    """A mask through phi and the affine, sampled linearly and cut at 0.5."""
    image, phi = mask[None, ..., None].astype("float32"), refined.deformation.phi[None]
    return np.array(affine_ops.warp_jointly(image, refined.affine[None], phi))[0, ..., 0] > 0.5


def vertebra(seed, level, angles=(0, 0, 0), scale=1.0, wedge=0.0):
    """(image, mask) of a phantom, turned, scaled, and wedged: higher in front by a part of its height, lower behind."""
    sdf = phantom.vertebra(seed, level, COARSE, SPACING) / SPACING
    points = about_centre(COARSE) @ turned(angles) / scale
    points[..., 2] *= 1 - wedge * np.clip(2 * points[..., 1] / COARSE[1], -1, 1)
    centre = (np.array(COARSE) - 1) / 2
    sdf = ndimage.map_coordinates(sdf, np.moveaxis(points + centre, -1, 0), order=1, mode="nearest") * scale
    shell = np.exp(-np.clip(-sdf, 0, None) / 0.7)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(COARSE)
    return np.where(sdf <= 0, np.clip(0.35 + 0.4 * shell + noise, 0.05, 1), 0).astype("float32"), sdf <= 0
