"""Labels and displacements that the tests of measures share."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.0, 2.5)]


def cube(start, size=8, shape=(24, 24, 24)):
    label = np.zeros(shape, bool)
    label[tuple(slice(s, s + size) for s in start)] = True
    return label


def generated_vertebra(shape=(64, 64, 40), shift=0.0):
    """A body, a canal and three processes: hollow and concave, as a vertebra is."""
    x, y, z = (np.arange(n) - n / 2 + shift for n in shape)
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    body = (x / 18) ** 2 + ((y - 12) / 13) ** 2 < 1
    ring = np.hypot(x, y + 6) < 11
    spine = (abs(x) < 3) & (y < -8) & (y > -26)
    wings = (abs(x) < 26) & (abs(y + 6) < 4)
    return (body & (abs(z) < 12)) | ((ring | spine | wings) & (abs(z) < 8) & ~(np.hypot(x, y + 6) < 6))


def load(path, labels):
    data = np.isin(np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj), labels)
    return data[ndimage.find_objects(data.astype(np.uint8))[0]]


def centred(crops):
    """The crops in the middle of one volume with a margin of three voxels."""
    shape = np.max([c.shape for c in crops], 0) + 6
    volumes = np.zeros((len(crops), *shape), bool)
    for volume, crop in zip(volumes, crops):
        start = (shape - crop.shape) // 2
        volume[tuple(slice(s, s + n) for s, n in zip(start, crop.shape))] = crop
    return volumes


def linear_field(matrix, shape=(6, 7, 5)):
    grid = np.stack(np.indices(shape), -1).astype(float)
    return grid @ (np.asarray(matrix, float) - np.eye(3)).T


def rough_field(shape, amplitude, seed=0, sigma=1.0):
    noise = np.random.default_rng(seed).normal(size=(*shape, 3))
    return amplitude * ndimage.gaussian_filter(noise, (sigma, sigma, sigma, 0))


def checkerboard(shape=(7, 8, 6), amplitude=0.6):
    u = np.zeros((*shape, 3))
    u[..., 0] = amplitude * (-1.0) ** np.indices(shape).sum(0)
    return u
