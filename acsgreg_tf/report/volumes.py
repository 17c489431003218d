"""What a page shows of the volumes: one small RAS grid round the vertebra, and one byte a voxel."""

import base64
import gzip
from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np

from acsgreg_tf.geometry import Grid, resample
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image

__all__ = ["HU_SHOWN", "LOG_SHOWN", "display_grid", "displacement", "encoded", "nifti", "outlines", "packed", "sampled"]

# What a byte can hold, HU; and the log of the Jacobian determinant, both ways (a factor of e).
HU_SHOWN = (-400.0, 1400.0)
LOG_SHOWN = 1.0
# mm of surroundings on every side; the least side of a voxel shown, mm; and the most voxels of a volume.
SURROUNDINGS, FINEST, MOST_VOXELS = 12.0, 0.7, 2_500_000
GRID_STEP = 2.0  # mm, of the displacement


def display_grid(bone: np.ndarray, grid: Grid, spacing: float) -> Grid:
    """The grid that is shown: the vertebra with its surroundings, cubes, along the axes of `grid`.

    Args:
        bone: (X, Y, Z) bool, the fixed vertebra on `grid`; where it is empty, all of it is shown.
        grid: A network Grid (1 mm, RAS).
        spacing: Smallest side of the fixed image's voxels, mm; the grid is that fine at most.
    """
    index = np.argwhere(bone) if bone.any() else np.argwhere(np.ones_like(bone))
    low, high = index.min(axis=0) - SURROUNDINGS, index.max(axis=0) + SURROUNDINGS
    step = max(min(spacing, 1.0), FINEST, (float(np.prod(high - low + 1)) / MOST_VOXELS) ** (1 / 3))
    return _cubes(grid.index_to_points(low), high - low, step)


def _cubes(first: np.ndarray, sides: np.ndarray, step: float) -> Grid:
    """A RAS grid of cubes: its first voxel, the mm from there to its last one at least, and its step in mm."""
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = first
    return Grid(tuple(int(n) for n in np.ceil(sides / step - 1e-6).astype(int) + 1), affine)


def sampled(image: Image, hu: np.ndarray, shown: Grid, transform: Transform | None = None) -> np.ndarray:
    """An image in HU on the grid that is shown, as bytes over `HU_SHOWN`; air where the image does not reach.

    Args:
        image: Whose grid it is.
        hu: Its values in HU (`anatomy.intensity.to_hu`).
        shown: From `display_grid`.
        transform: Fixed RAS mm -> RAS mm of the image.
    """
    low, high = HU_SHOWN
    values = resample(hu, image.grid, shown, transform, fill=low)
    return np.rint((np.clip(values, low, high) - low) / (high - low) * 255).astype(np.uint8)


def outlines(fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The borders of two masks as one label map: 1 fixed, 2 moved, 3 both."""
    from scipy import ndimage

    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (fixed, moved)]
    return (borders[0] + 2 * borders[1].astype(np.uint8)).astype(np.uint8)


def nifti(data: np.ndarray, grid: Grid, low: float = 0.0, high: float = 255.0) -> bytes:
    """A NIfTI file of bytes, gzipped, in which 0 means `low` and 255 `high`."""
    image = nib.Nifti1Image(data, grid.affine)
    image.header.set_slope_inter((high - low) / 255, low)
    image.header.set_xyzt_units("mm")
    return packed(image.to_bytes())


def displacement(phi_mm: np.ndarray, grid: Grid, shown: Grid) -> dict[str, Any]:
    """A displacement in mm on a coarse grid, for the drawing of a deformed grid.

    Args:
        phi_mm: (X, Y, Z, 3), mm, on `grid`.
        grid: Of the same axes as `shown`.
        shown: From `display_grid`.

    Returns:
        {"shape", "first" (RAS mm), "step" (mm), "unit" (mm a count), "data" (base64 of gzipped int16, x fastest, the
        three components one after the other)}.
    """
    sides = np.subtract(shown.shape, 1) * shown.spacing
    coarse = _cubes(shown.index_to_points((0, 0, 0)), sides, GRID_STEP)
    parts = [resample(phi_mm[..., axis], grid, coarse) for axis in range(3)]
    counts = np.stack([np.rint(part / 0.01).clip(-32768, 32767) for part in parts]).astype("<i2")
    data = b"".join(np.asfortranarray(part).tobytes(order="F") for part in counts)
    return {
        "shape": list(coarse.shape),
        "first": coarse.affine[:3, 3].tolist(),
        "step": GRID_STEP,
        "unit": 0.01,
        "data": encoded(packed(data)),
    }


def packed(data: bytes) -> bytes:
    """Gzipped, the same bytes for the same input."""
    return gzip.compress(data, 6, mtime=0)


def encoded(data: bytes | Mapping[str, bytes]) -> Any:
    """Base64 text of bytes, or of each of several."""
    if isinstance(data, Mapping):
        return {name: encoded(part) for name, part in data.items()}
    return base64.b64encode(data).decode("ascii")
