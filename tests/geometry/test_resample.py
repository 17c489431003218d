"""Resampling by known answers, and voxel for voxel against SimpleITK."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, Grid, resample, resample_label
from acsgreg_tf.io.transforms import from_sitk, to_sitk, to_sitk_transform
from tests.explore import examples
from tests.geometry.cases import (
    ORIENTATIONS,
    centred_grid,
    fixed_grid,
    moving_grid,
    network_transform,
    rigid_and_scale,
    smooth_image,
)


def by_sitk(image, image_grid, reference_grid, transform=None, interpolator=sitk.sitkLinear, fill=0.0):
    reference = to_sitk(np.zeros(reference_grid.shape, np.uint8), reference_grid)
    theirs = sitk.Transform() if transform is None else to_sitk_transform(transform)
    return from_sitk(sitk.Resample(to_sitk(image, image_grid), reference, theirs, interpolator, fill))[0]


def test_the_same_grid_gives_the_same_image():
    image = smooth_image(moving_grid().shape)
    np.testing.assert_allclose(resample(image, moving_grid(), moving_grid()), image, atol=1e-6)
    labels = (image * 5).astype(np.int16)
    np.testing.assert_array_equal(resample(labels, moving_grid(), moving_grid(), order=0), labels)
    np.testing.assert_array_equal(resample_label(labels, moving_grid(), moving_grid()), labels)


def test_the_transform_says_where_to_look():
    # The moving image is looked up 2 voxels further along x, so its content moves 2 voxels towards low x.
    image, grid = smooth_image((8, 6, 5)), Grid((8, 6, 5), np.eye(4))
    matrix = np.eye(4)
    matrix[0, 3] = 2
    moved = resample(image, grid, grid, Affine(matrix), fill=-7)
    np.testing.assert_allclose(moved[:6], image[2:], atol=1e-6)
    assert (moved[6:] == -7).all()


def test_half_way_between_voxels():
    image = np.zeros((4, 4, 4), np.int16)
    image[1] = 10
    half = centred_grid((3, 4, 4), (1, 1, 1), center=(0, 0, 0))
    values = resample(image, centred_grid((4, 4, 4), (1, 1, 1)), half)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[:, 1, 1], (5, 5, 0))


@pytest.mark.parametrize("fill", [0.0, -1000.0])
def test_linear_agrees_with_itk(fill):
    image, transform = smooth_image(moving_grid().shape), network_transform(fixed_grid(), moving_grid())
    ours = resample(image, moving_grid(), fixed_grid(), transform, fill=fill)
    theirs = by_sitk(image, moving_grid(), fixed_grid(), transform, fill=fill)
    assert 0.3 < (ours == fill).mean() + 0.2 < 0.9  # borders are part of the comparison
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_nearest_agrees_with_itk():
    labels = (smooth_image(moving_grid().shape) * 20).astype(np.uint8)
    transform = network_transform(fixed_grid(), moving_grid())
    ours = resample(labels, moving_grid(), fixed_grid(), transform, order=0, fill=99)
    assert ours.dtype == np.uint8
    theirs = by_sitk(labels, moving_grid(), fixed_grid(), transform, sitk.sitkNearestNeighbor, 99)
    assert (ours == theirs).mean() > 0.9999  # a point half way between two voxels may go either way


@examples(48)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(*[st.floats(0.5, 3)] * 3),
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_every_orientation_and_spacing_agrees_with_itk(orientation, spacing, angles):
    grid = centred_grid((14, 17, 12), spacing, angles, (30, -40, 50))
    stored = nib.Nifti1Image(smooth_image(grid.shape), grid.affine).as_reoriented(orientation)
    image, image_grid = np.asarray(stored.dataobj), Grid(stored.shape, stored.affine)
    reference = centred_grid((11, 12, 13), (2, 1.7, -1.1), (0.1, -0.3, 0.2), (32, -41, 49))
    transform = rigid_and_scale(reference, image_grid)
    ours = resample(image, image_grid, reference, transform)
    np.testing.assert_allclose(ours, by_sitk(image, image_grid, reference, transform), atol=1e-3)
    # The same world in another storage order gives the same result.
    plain = resample(smooth_image(grid.shape), grid, reference, transform)
    np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_a_small_image_on_a_large_reference():
    image, grid = smooth_image((6, 7, 8)), centred_grid((6, 7, 8), (1, 1, 1), (0.2, 0, 0), (20, -10, 5))
    reference = centred_grid((90, 100, 80), (1, 1.1, 0.9))
    transform = network_transform(reference, reference)
    ours = resample(image, grid, reference, transform)
    assert 100 < np.count_nonzero(ours) < 600
    np.testing.assert_allclose(ours, by_sitk(image, grid, reference, transform), atol=1e-3)


def test_images_that_never_meet():
    image, grid = smooth_image((6, 7, 8)), centred_grid((6, 7, 8), (1, 1, 1), center=(500, 0, 0))
    assert (resample(image, grid, fixed_grid(), fill=3) == 3).all()
    assert not resample_label(image > 0.2, grid, fixed_grid()).any()


def test_a_label_is_there_above_one_half():
    label = np.zeros((6, 4, 4), np.uint8)
    label[2:4], label[4:] = 20, 21
    grid = Grid(label.shape, np.eye(4))
    for offset, expected in ((-0.4, [0, 0, 20, 20, 21]), (-0.6, [0, 0, 0, 20, 20]), (-0.5, [0, 0, 0, 20, 0])):
        affine = np.eye(4)
        affine[0, 3] = offset
        moved = resample_label(label, grid, Grid((5, 4, 4), affine))
        assert moved.dtype == np.uint8 and moved[:, 1, 1].tolist() == expected


def test_labels_agree_with_interpolating_each_mask_in_itk():
    rng = np.random.default_rng(3)
    label = (smooth_image(moving_grid().shape) * 6).astype(np.int32) * rng.choice(
        [0, 1], moving_grid().shape, p=[0.1, 0.9]
    )
    transform = network_transform(fixed_grid(), moving_grid())
    ours = resample_label(label, moving_grid(), fixed_grid(), transform)
    assert len(np.unique(ours)) > 4
    for value in np.unique(label[label > 0]):
        share = by_sitk((label == value).astype(np.float32), moving_grid(), fixed_grid(), transform)
        clear = np.abs(share - 0.5) > 1e-3
        np.testing.assert_array_equal((ours == value)[clear], (share > 0.5)[clear])


def test_a_boolean_label_stays_boolean():
    mask = smooth_image(moving_grid().shape) > 0.6
    moved = resample_label(mask, moving_grid(), fixed_grid(), network_transform(fixed_grid(), moving_grid()))
    assert moved.dtype == bool and moved.any()
    as_numbers = resample_label(
        mask.astype(np.uint16) * 7,
        moving_grid(),
        fixed_grid(),
        network_transform(fixed_grid(), moving_grid()),
    )
    np.testing.assert_array_equal(moved, as_numbers == 7)


def test_bad_input():
    grid = fixed_grid()
    with pytest.raises(InputError, match="on a grid of shape"):
        resample(np.zeros((2, 2, 2)), grid, grid)
    with pytest.raises(InputError, match="on a grid of shape"):
        resample_label(np.zeros((2, 2, 2), int), grid, grid)
    with pytest.raises(InputError, match="integers or booleans"):
        resample_label(np.zeros(grid.shape), grid, grid)
    with pytest.raises(InputError, match="label 5000000"):
        resample_label(np.full(grid.shape, 5_000_000), grid, grid)
    with pytest.raises(ValueError, match="order must be 0"):
        resample(np.zeros(grid.shape), grid, grid, order=3)
