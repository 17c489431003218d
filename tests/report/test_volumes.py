import base64
import gzip

import nibabel as nib
import numpy as np

from acsgreg_tf.geometry import Affine, Grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.report.volumes import (
    FINEST,
    HU_SHOWN,
    MOST_VOXELS,
    SURROUNDINGS,
    displacement,
    display_grid,
    nifti,
    outlines,
    sampled,
)

NETWORK = Grid((64, 60, 40), np.array([[1.0, 0, 0, -30], [0, 1, 0, 10], [0, 0, 1, 100], [0, 0, 0, 1]]))


def bone():
    mask = np.zeros(NETWORK.shape, bool)
    mask[20:41, 15:40, 12:30] = True
    return mask


def test_the_grid_that_is_shown_holds_the_bone_and_its_surroundings():
    for spacing, side in ((0.3, FINEST), (0.8, 0.8), (3.0, 1.0)):
        shown = display_grid(bone(), NETWORK, spacing)
        np.testing.assert_allclose(shown.spacing, side)
        first, last = shown.index_to_points((0, 0, 0)), shown.index_to_points(np.subtract(shown.shape, 1))
        low, high = NETWORK.index_to_points((20, 15, 12)), NETWORK.index_to_points((40, 39, 29))
        np.testing.assert_allclose(first, low - SURROUNDINGS)
        assert ((last >= high + SURROUNDINGS - 1e-6) & (last < high + SURROUNDINGS + side)).all()


def test_a_large_one_is_shown_coarser():
    grid, mask = Grid((300, 300, 300), np.eye(4)), np.zeros((300, 300, 300), bool)
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    assert np.prod(display_grid(mask, grid, 0.3).shape) <= 1.1 * MOST_VOXELS


def test_hu_survive_as_bytes_and_air_is_where_there_is_nothing():
    shown = display_grid(bone(), NETWORK, 1.0)
    image = Image(np.full((10, 10, 10), 300.0, np.float32), Grid((10, 10, 10), NETWORK.affine), "ct")
    file = nib.Nifti1Image.from_bytes(gzip.decompress(nifti(sampled(image, image.data, shown), shown, *HU_SHOWN)))
    np.testing.assert_allclose(file.affine, shown.affine)
    values = np.unique(file.get_fdata())
    np.testing.assert_allclose(values, [HU_SHOWN[0], 300], atol=(HU_SHOWN[1] - HU_SHOWN[0]) / 255 / 2)


def test_an_image_is_shown_where_the_transform_puts_it():
    shown = display_grid(bone(), NETWORK, 1.0)
    rows = np.arange(shown.shape[0], dtype=np.float32)[:, None, None] * 10
    image = Image(np.broadcast_to(rows, shown.shape).copy(), shown, "ct")
    shift = np.eye(4)
    shift[0, 3] = 3
    still, moved = (sampled(image, image.data, shown, transform) for transform in (None, Affine(shift)))
    np.testing.assert_array_equal(moved[:-3], still[3:])


def test_outlines_name_whose_they_are():
    fixed, moved = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    fixed[1:6, 1:8, 1:8] = moved[1:8, 1:8, 1:8] = True
    lines = outlines(fixed, moved)
    assert lines[1, 4, 4] == 3 and lines[5, 4, 4] == 1 and lines[7, 4, 4] == 2 and lines[3, 4, 4] == 0


def test_a_displacement_is_kept_to_a_hundredth_of_a_mm():
    shown = display_grid(bone(), NETWORK, 0.7)
    phi = np.broadcast_to(np.array([1.234, -2.5, 0.01], np.float32), (*NETWORK.shape, 3))
    field = displacement(phi, NETWORK, shown)
    data = np.frombuffer(gzip.decompress(base64.b64decode(field["data"])), "<i2")
    x, y, z = (data.reshape(3, -1)[axis].reshape(field["shape"], order="F") for axis in range(3))
    inside = tuple(n // 2 for n in field["shape"])
    np.testing.assert_allclose([part[inside] * field["unit"] for part in (x, y, z)], [1.234, -2.5, 0.01], atol=0.006)
    np.testing.assert_allclose(field["first"], shown.index_to_points((0, 0, 0)))
