"""A vertebra out of a scan: the same one on every grid and orientation, whether it is cut, and what is refused."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.anatomy.vertebra import extract, pick_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid, network_grid, resample
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.io.images import Image
from tests.explore import examples
from tests.registration.cases import BOX, NUMBER, grid_about, reoriented, scan

PLACE = (12.0, -30.0, 55.0)


def block(shape, start, stop, grid=None, value=1):
    """A label map with one block, and a CT of 650 HU everywhere."""
    label = np.zeros(shape, np.uint8)
    label[tuple(map(slice, start, stop))] = value
    grid = grid or Grid(shape, np.eye(4))
    return Image(np.full(shape, 650, np.float32), grid, "ct"), Image(label, grid, "seg")


def test_the_distance_knows_where_the_surface_lies_between_voxels():
    """A label whose voxels lie 0.3 mm beside its CT's: its faces are exact, where the mask cut at 0.5 is 0.3 off."""
    beside = np.eye(4)
    beside[0, 3] = 0.3
    ct, _ = block((50, 50, 50), (0, 0, 0), (1, 1, 1))
    _, label = block((50, 50, 50), (15, 15, 15), (31, 30, 29), Grid((50, 50, 50), beside))
    vertebra = extract(ct, label, shape=(32, 32, 32))
    true = 15 - 0.5 + 0.3, 31 - 0.5 + 0.3

    def faces(distance):
        along = distance[:, 16, 16]
        first, last = np.flatnonzero(along < 0)[[0, -1]]
        ends = (
            at + (to - at) * along[at] / (along[at] - along[to]) for at, to in ((first, first - 1), (last, last + 1))
        )
        return [vertebra.grid.index_to_points((end, 16, 16))[0] for end in ends]

    assert faces(from_crop(vertebra.share)) == pytest.approx(true, abs=0.1)
    assert np.abs(np.subtract(faces(from_crop(vertebra.label)), true)).max() > 0.25
    np.testing.assert_array_equal(vertebra.label, vertebra.share > 0.5)


def test_one_millimetre_ras_is_cropped_voxel_for_voxel():
    rng = np.random.default_rng(0)
    grid = Grid((50, 48, 40), np.array([[1, 0, 0, 7.25], [0, 1, 0, -80.6], [0, 0, 1, 3.1], [0, 0, 0, 1]]))
    ct = Image(rng.uniform(-500, 1800, grid.shape).astype(np.float32), grid, "ct")
    label = np.zeros(grid.shape, np.uint8)
    label[10:30, 15:32, 9:26] = 3  # an even, an odd and an odd extent
    vertebra = extract(ct, Image(label, grid, "seg"), shape=BOX)
    start = np.rint(grid.points_to_index(vertebra.grid.index_to_points((0, 0, 0)))).astype(int)
    window = tuple(slice(a, a + n) for a, n in zip(start, BOX, strict=True))
    scaled = (np.clip(ct.data, -200, 1500) + 200) / 1700
    np.testing.assert_array_equal(
        vertebra.label, np.pad(label, 32)[tuple(slice(w.start + 32, w.stop + 32) for w in window)] == 3
    )
    np.testing.assert_allclose(
        vertebra.image,
        np.pad(scaled * (label == 3), 32)[tuple(slice(w.start + 32, w.stop + 32) for w in window)],
        atol=1e-6,
    )
    assert vertebra.number == 3 and not vertebra.cut and vertebra.notes == ()


def test_the_box_is_centred_on_the_label():
    ct, label = block((40, 40, 40), (6, 10, 14), (16, 26, 32))
    vertebra = extract(ct, label, shape=BOX)
    inside = np.argwhere(vertebra.label)
    np.testing.assert_array_equal(inside.min(axis=0) + inside.max(axis=0), np.array(BOX) - 1)
    assert vertebra.label.sum() == 10 * 16 * 18


def test_intensities_are_scaled_from_hu_and_masked():
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    ct.data[10] = -1000
    ct.data[12] = 3000
    vertebra = extract(ct, label, shape=BOX)
    values = np.unique(vertebra.image[vertebra.label])
    np.testing.assert_allclose(values, [0, 0.5, 1], atol=1e-6)
    assert not vertebra.image[~vertebra.label].any()
    assert vertebra.image.dtype == np.float32 and vertebra.label.dtype == bool


def test_scaled_images_pass_unchanged():
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    scaled = Image((ct.data / 2600).astype(np.float32), ct.grid, "scaled")
    vertebra = extract(scaled, label, shape=BOX)
    np.testing.assert_array_equal(np.unique(vertebra.image[vertebra.label]), np.float32(0.25))


@pytest.mark.parametrize("background", [0, -1024])
def test_without_a_label_the_foreground_is_the_vertebra(background):
    ct, label = block((30, 30, 30), (8, 9, 7), (20, 22, 24))
    masked = Image(np.where(label.data > 0, ct.data, background).astype(np.float32), ct.grid, "crop")
    with_label, without = extract(ct, label, shape=BOX), extract(masked, shape=BOX)
    np.testing.assert_array_equal(without.image, with_label.image)
    assert without.grid.isclose(with_label.grid)
    assert without.label is None and without.number is None and not without.cut


def test_voxels_are_interpolated_once_from_the_ct_and_not_across_the_mask():
    ct, label = scan(grid_about(PLACE, (30, 44, 28), (1.5, 0.8, 2), (0.2, -0.1, 0.3), "PIR"), PLACE)
    vertebra = extract(ct, label, NUMBER, BOX)
    expected = (resample(ct.data, ct.grid, vertebra.grid) + 200) / 1700
    np.testing.assert_allclose(vertebra.image[vertebra.label], expected[vertebra.label], atol=1e-6)


def test_label_and_image_may_lie_on_different_grids():
    ct, same = scan(grid_about(PLACE, (56, 50, 52), 1), PLACE)
    _, other = scan(grid_about(PLACE, (60, 60, 64), 0.7, axcodes="LPS"), PLACE)
    a, b = extract(ct, same, NUMBER, BOX), extract(ct, other, NUMBER, BOX)
    assert np.abs(a.grid.center - b.grid.center).max() <= 1  # each is moved by up to half a voxel
    overlap = resample(b.label, b.grid, a.grid) > 0.5
    assert 2 * (overlap & a.label).sum() / (overlap.sum() + a.label.sum()) > 0.95


def orientations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.array(list(zip(axes, signs, strict=True)), float)


@pytest.mark.parametrize("spacing", [1, (0.9, 1.2, 1.5)])
def test_none_of_the_48_orientations_of_a_file_matters(spacing):
    ct, label = scan(grid_about(PLACE, (38, 36, 34), spacing), PLACE)
    expected = extract(ct, label, NUMBER, BOX)
    for orientation in orientations():
        result = extract(reoriented(ct, orientation), reoriented(label, orientation), NUMBER, BOX)
        np.testing.assert_allclose(result.grid.affine, expected.grid.affine, atol=1e-6)
        same = result.label == expected.label
        assert np.mean(same) > 0.9999  # where the interpolated mask is just 0.5, rounding errors decide
        np.testing.assert_allclose(result.image[same], expected.image[same], atol=1e-4)


@cache
def fine_centre():
    ct, label = scan(grid_about(PLACE, (80, 80, 80), 0.5), PLACE)
    return extract(ct, label, NUMBER, BOX).grid.center


@examples(10)
@given(
    spacing=st.tuples(*[st.floats(0.5, 2)] * 3),
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_spacing_and_rotation_move_the_centre_little(spacing, angles, shift):
    shape = tuple(int(40 / s) for s in spacing)
    ct, label = scan(grid_about(np.add(PLACE, shift), shape, spacing, angles), PLACE)
    apart = extract(ct, label, NUMBER, BOX).grid.center - fine_centre()
    # The ends of thin processes are lost in coarse voxels.
    assert np.abs(apart).max() < 0.5 * max(spacing) + 0.1


def test_a_vertebra_at_the_edge_of_the_scan_is_flagged():
    ct, label = block((30, 30, 30), (18, 8, 8), (30, 20, 20))
    vertebra = extract(ct, label, shape=BOX)
    assert vertebra.cut
    assert vertebra.notes == ("seg: label 1: reaches the edge of ct, so the vertebra is cut",)
    ct, label = block((30, 30, 30), (17, 8, 8), (29, 20, 20))
    assert not extract(ct, label, shape=BOX).cut


def test_a_label_that_leaves_its_image_is_flagged():
    ct, _ = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    _, label = block((60, 30, 30), (20, 8, 8), (40, 20, 20))
    assert extract(ct, label, shape=BOX).cut


def test_a_vertebra_larger_than_the_box_is_flagged():
    ct, label = block((50, 30, 30), (5, 8, 8), (45, 20, 20))
    vertebra = extract(ct, label, shape=BOX)
    assert vertebra.cut
    assert vertebra.notes == (
        "seg: label 1: is 40 x 12 x 12 mm large and does not fit the network's box of 32 x 32 x 32 mm",
    )


def test_an_image_that_is_not_empty_from_edge_to_edge_is_refused_and_at_one_edge_flagged():
    ct, _ = block((30, 30, 30), (8, 8, 8), (20, 20, 20))  # soft tissue round it
    assert "an image that is not masked needs a label map (--moving-seg)" in refused(ct, flag="--moving-seg")
    ct.data[:2] = -1000
    vertebra = extract(ct, shape=BOX)
    assert vertebra.cut and "not empty at its edge" in vertebra.notes[0]


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        extract(*arguments, shape=BOX, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_that_cannot_be_used_are_named():
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20), value=22)
    label.data[24:28] = 23
    assert "seg: holds the labels 22, 23" in refused(ct, label)
    assert "seg: does not hold label 20" in refused(ct, label, 20)
    assert "seg: the label map is empty" in refused(ct, Image(0 * label.data, ct.grid, "seg"))
    assert pick_label(label, 23) == 23


def test_an_image_taken_for_a_label_map_is_refused_in_a_short_line():
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    values = Image(np.arange(27000).reshape(30, 30, 30), ct.grid, "ct")
    assert "38, 39, 40 and 26959 more (is it a label map?)" in refused(ct, values)


def test_a_label_elsewhere_is_refused():
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    far = Image(label.data, network_grid((500, 0, 0), label.data.shape), "seg")
    assert "seg: label 1: lies outside of the image ct" in refused(ct, far)


def test_a_label_of_a_few_voxels_or_on_nothing_is_refused():
    grid = grid_about((0.3, 0.2, 0.4), (60, 60, 60), 0.3)
    ct, label = block((60, 60, 60), (30, 30, 30), (31, 31, 31), grid)
    assert "seg: label 1: has 1 voxel, too few" in refused(ct, label)
    ct, label = block((30, 30, 30), (8, 8, 8), (20, 20, 20))
    air = Image(np.full((30, 30, 30), -1000, np.float32), ct.grid, "air")
    assert "seg: label 1: the image air shows nothing" in refused(air, label)
    assert "air: shows no bone" in refused(air)
