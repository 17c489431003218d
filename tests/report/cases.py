"""A registration of the small made-up vertebra by a network whose answer is known."""

from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import Selection, read_scan, register, select
from tests.registration.cases import NUMBER, CentroidNetwork, grid_about, scan

PLACES = {"fixed": (12.5, -30.0, 55.5), "moving": (-200.0, 40.5, 7.0)}


def scans():
    """Fixed and moving Scan of the vertebra, on oblique grids."""
    sides = []
    for (name, place), shape in zip(PLACES.items(), ((40, 36, 36), (30, 50, 40)), strict=True):
        size = 1.0 if name == "fixed" else 1.1
        ct, label = scan(grid_about(place, shape, (1, 1.2, 1.1), (0.1, 0, 0.1)), place, name=name, size=size)
        sides.append(read_scan(ct, Image(label.data, label.grid, label.name)))
    return select(*sides, Selection(label=NUMBER))


def registered(fixed, moving):
    return register(fixed, moving, model=CentroidNetwork(), fit_affine=False)
