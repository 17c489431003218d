"""A small made-up vertebra that can be sampled on any grid, and networks whose answer is known."""

import itertools

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import Image

# An affine of a deformation that turns, scales and shears.
TURNED = np.array([[0.9, -0.5, 0.1, 1.3], [0.45, 0.95, -0.2, -2.0], [-0.1, 0.2, 1.1, 0.4]])

BOX = (32, 32, 32)
NUMBER = 22

# Centre and half axes in mm of the ellipsoids that make it up; no symmetry.
_PARTS = (((0, 4, 1), (7, 5.5, 6)), ((0, -5, -1), (2.5, 6, 3)), ((7, -2, 0), (5, 2.5, 2.5)), ((-6, -3, 2), (4, 2.5, 2)))


def depth(points):
    """How deep points (..., 3), RAS mm about the vertebra's middle, lie in it, mm, roughly; positive inside."""
    found = [(1 - np.linalg.norm((points - np.array(middle)) / half, axis=-1)) * min(half) for middle, half in _PARTS]
    return np.max(found, axis=0)


def scan(grid, place=(0, 0, 0), transform=None, number=NUMBER, name="scan", size=1):
    """(CT, label map) Images of the vertebra whose middle lies at `place`, on `grid`, `size` times as large.

    HU vary smoothly inside; the neighbour above (`number` - 1) is a ball that the vertebra's label leaves out. With a
    transform it is the scan that the transform, applied to this scan's points, turns into the one without.
    """
    points = grid.points() - place if transform is None else transform.apply(grid.points()) - place
    points = points / size
    inside = depth(points)
    texture = np.sin(points[..., 0] / 3) + np.cos(points[..., 1] / 4 + 1) + np.sin(points[..., 2] / 2.5)
    ball = np.linalg.norm(points - (0, 2, 14), axis=-1) < 5
    hu = np.clip(inside + 0.5, 0, 1) * (500 + 120 * texture) - 50
    hu[ball] = 600
    label = np.where(inside > 0, number, 0)
    label[ball & (inside <= 0)] = number - 1
    return Image(hu.astype(np.float32), grid, f"{name}_ct"), Image(label.astype(np.int16), grid, f"{name}_seg")


def grid_about(place, shape, spacing, angles=(0, 0, 0), axcodes="RAS"):
    """A Grid whose middle lies on `place`, turned by Euler angles (radians) and stored in another orientation."""
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*angles) @ np.diag(np.broadcast_to(spacing, 3))
    affine[:3, 3] = np.array(place) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axcodes)
    )
    affine = affine @ nib.orientations.inv_ornt_aff(change, shape)
    return Grid(tuple(int(shape[int(axis)]) for axis in np.argsort(change[:, 0])), affine)


def reoriented(image, orientation):
    """The same Image stored with other axes; `orientation` as nibabel writes it: new axis and sign of every axis."""
    data = nib.orientations.apply_orientation(image.data, orientation)
    affine = image.grid.affine @ nib.orientations.inv_ornt_aff(orientation, image.data.shape)
    return Image(data, Grid(data.shape, affine), image.name)


def to_nifti(image):
    return nib.Nifti1Image(image.data, image.grid.affine)


def save(image, path):
    nib.save(to_nifti(image), path)
    return str(path)


def smooth_velocity(shape, size, seed=0):
    """Random smooth velocity (x, y, z, 3) of at most `size` voxels, zero at the border."""
    velocity = gaussian_filter(np.random.default_rng(seed).normal(size=(*shape, 3)), (2, 2, 2, 0))
    for axis, side in enumerate(shape):
        window = np.sin(np.pi * np.arange(side) / (side - 1))
        velocity *= np.expand_dims(window, tuple(other for other in range(4) if other != axis))
    return (velocity * size / np.abs(velocity).max()).astype(np.float32)


class KnownNetwork:
    """Answers with the affine (3, 4) and velocity (x, y, z, 3) that it was given, in voxels."""

    def __init__(self, affine=None, velocity=None, inshape=BOX, int_steps=7):
        self.inshape = inshape
        self.name = "known"
        self.arguments = {"int_steps": int_steps}
        half = tuple(side // 2 for side in inshape)
        self.affine = np.eye(3, 4) if affine is None else np.asarray(affine)
        self.velocity = np.zeros((*half, 3), np.float32) if velocity is None else velocity

    def affine_of(self, inputs):
        return self.affine

    def affine_net(self, inputs, training):
        return self.affine_of(inputs)[None]

    def deformable_net(self, images, training):
        return self.velocity[None]

    def __call__(self, inputs, training):
        from acsgreg_tf.ops import fields

        phi = fields.integrate(self.velocity[None], self.arguments["int_steps"])
        phi = fields.resize_displacement(phi, self.inshape)
        return {"affine": self.affine_of(inputs)[None], "velocity": self.velocity[None], "phi": phi}


class CentroidNetwork(KnownNetwork):
    """Lays the images' centres of mass on each other: like a trained network, it follows what it is shown."""

    def __init__(self, inshape=BOX):
        super().__init__(inshape=inshape)
        self.arguments = {"int_steps": 0}

    def affine_of(self, inputs):
        places = []
        for which in ("fixed", "moving"):
            weights = inputs[which][0, ..., 0]
            places.append((np.indices(weights.shape) * weights).sum(axis=(1, 2, 3)) / weights.sum())
        affine = np.eye(3, 4)
        affine[:, 3] = places[1] - places[0]
        return affine


def interrupt_refinement(monkeypatch, after):
    """Make Ctrl-C happen once, after so many steps of the next refinement."""
    from acsgreg_tf.registration.refine.objective import Objective

    evaluate, calls = Objective.__call__, itertools.count()

    def interrupted(self, *arguments):
        if next(calls) == after + 1:  # the start is evaluated first, then each step
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    monkeypatch.setattr(Objective, "__call__", interrupted)


def save_network(path, inshape=BOX, spoilt=False):
    """An untrained network that turns, shifts and bends, by about a voxel, as an .h5 file; with NaNs if `spoilt`."""
    import keras

    from acsgreg_tf.networks import AVoxelMorph

    keras.utils.set_random_seed(0)
    network = AVoxelMorph(
        inshape,
        affine_features=(2, 2),
        encoder_features=(2, 2),
        decoder_features=(4, 4, 4),
        normalization="none",
    )
    rng = np.random.default_rng(0)
    dense = network.affine_net.get_layer("matrix").dense
    kernel, bias = dense.get_weights()
    dense.set_weights([0 * kernel, (0.06 * rng.uniform(-1, 1, bias.shape)).astype("float32")])
    # Mostly a smooth push from the images' broad features, a little of it from each voxel.
    last = network.get_layer("velocity")
    kernel, bias = last.get_weights()
    last.set_weights([0.15 * rng.normal(size=kernel.shape), np.array([0.5, -0.4, 0.3])])
    if spoilt:
        dense.bias.assign(np.full(12, np.nan))
    network.save(path)
    return str(path)
