"""Solids as signed distances (mm, negative inside) on a grid of 1 mm, for the tests of distances and of shapes."""

import numpy as np

SMALL = (64, 64, 48)


def points(shape=SMALL):
    """Coordinates (X, Y, Z, 3) in mm from the middle of the grid."""
    return np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2


def ball(radius, middle=(0, 0, 0), shape=SMALL):
    return (np.linalg.norm(points(shape) - middle, axis=-1) - radius).astype(np.float32)


def body_with_process(angle=0.0, shape=SMALL):
    """A ball of 11 mm with a rod of 4 mm to the left, turned by `angle` degrees: a vertebra in short."""
    tip = 24 * np.array([-np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0])
    along = np.clip(points(shape) @ tip / (tip @ tip), 0, 1)
    rod = np.linalg.norm(points(shape) - along[..., None] * tip, axis=-1) - 4
    return np.minimum(ball(11, shape=shape), rod).astype(np.float32)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def extent(sdf):
    return np.ptp(np.argwhere(sdf <= 0), axis=0) + 1
