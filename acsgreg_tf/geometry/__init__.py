"""Grids and transforms in RAS mm. Pure numpy: nothing here imports keras."""

from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.itk import from_sitk, grid_from_sitk, to_sitk
from acsgreg_tf.geometry.network import network_grid

__all__ = ["Grid", "from_sitk", "grid_from_sitk", "network_grid", "to_sitk"]
