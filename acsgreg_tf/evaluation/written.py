"""Folds of a transform as it is written: sampled on a lattice that reaches past the vertebra's box."""

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.transforms import Transform

BEYOND_MM = 30.0
# How far past the box smoothness is measured, of whatever answer; `register`'s deformations end within it.
DOMAIN_MM = 24.0
_SLAB = 40  # voxels of x at a time: at 0.5 mm the whole lattice has 27 million


def lattice_beyond(box: Grid, spacing: float = 1.0, beyond: float = BEYOND_MM) -> Grid:
    """A lattice about a network grid of 1 mm that reaches `beyond` mm past each of its faces.

    Args:
        box: The network grid.
        spacing: Of the lattice, mm; with 1 its points are voxel centres of the box, with 0.5 those between them too.
        beyond: How far past the box, mm; `register`'s deformations end 24 mm beyond it.
    """
    extent = (np.array(box.shape) - 1) * box.spacing + 2 * beyond
    shape = (extent / spacing + 1e-6).astype(int) + 1
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = box.center - extent / 2
    return Grid(tuple(shape), affine)


def written_folds(transform: Transform, box: Grid, spacing: float = 1.0, beyond: float = BEYOND_MM) -> metrics.Folds:
    """Cells of `lattice_beyond` in which one of the ten determinants of Liu et al. (IJCV 2024) is not positive.

    Returns:
        `metrics.Folds` (count, percent of the lattice's cells).
    """
    grid, count, cells = lattice_beyond(box, spacing, beyond), 0, 0
    for start in range(0, grid.shape[0] - 1, _SLAB):
        slab = grid.crop((start, 0, 0), (min(start + _SLAB + 1, grid.shape[0]), *grid.shape[1:]))
        folded = metrics.folded_cells(transform.to_displacement(slab).displacement / spacing)
        count, cells = count + int(folded.sum()), cells + folded.size
    return metrics.Folds(count, 100 * count / cells)
