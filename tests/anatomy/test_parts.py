"""Parts of vertebrae: whose they are, and how far apart they lie after a known transform."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.landmarks import landmark_errors, read_landmarks
from acsgreg_tf.anatomy.parts import compare_parts, mean_of_parts, parts_of_vertebra
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, Grid
from acsgreg_tf.io.images import Image

SPACING = (1.0, 2.0, 1.0)


def block(start, size, number, data=None, shape=(40, 20, 20)):
    data = np.zeros(shape, np.uint8) if data is None else data
    data[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = number
    return data


def image(data, name="map"):
    return Image(data, Grid(data.shape, np.diag([*SPACING, 1.0])), name)


def two_parts():
    """An arch beside a body, which is a border (49) and an inside (50)."""
    data = block((4, 4, 4), (4, 4, 4), 41)
    block((10, 4, 4), (8, 8, 8), 49, data)
    return image(block((12, 6, 6), (4, 4, 4), 50, data))


def shift(*mm):
    return Affine(np.block([[np.eye(3), np.reshape(mm, (3, 1))], [0, 0, 0, 1]]))


def test_parts_that_lie_on_each_other_and_parts_that_are_shifted():
    parts = parts_of_vertebra(two_parts())
    for name, part in compare_parts(parts, parts, shift(0, 0, 0)).items():
        assert part == {"dice": 1, "assd_mm": 0, "centre_mm": 0}, name
    moved = compare_parts(parts, parts, shift(0, 2, 0))  # a voxel of 2 mm along y
    assert set(moved) == {"arch", "body"}
    assert moved["arch"]["dice"] == pytest.approx(3 / 4) and moved["body"]["dice"] == pytest.approx(7 / 8)
    assert moved["arch"]["centre_mm"] == moved["body"]["centre_mm"] == pytest.approx(2)
    assert mean_of_parts(moved)["dice"] == pytest.approx(13 / 16)


def test_the_nearest_neighbour_is_taken():
    """Less than half a voxel moves nothing, more moves a whole one."""
    parts = parts_of_vertebra(two_parts())
    assert compare_parts(parts, parts, shift(0, 0.9, 0))["arch"]["dice"] == 1
    assert compare_parts(parts, parts, shift(0, 1.1, 0))["arch"]["centre_mm"] == pytest.approx(2)


def test_a_map_that_was_moved_already_needs_no_transform():
    fixed = parts_of_vertebra(two_parts())
    moved = parts_of_vertebra(image(np.roll(two_parts().data, 3, axis=0)))
    assert compare_parts(fixed, moved)["body"]["centre_mm"] == pytest.approx(3)


def test_a_part_that_one_side_lacks_is_not_measured_and_one_that_was_lost_is_a_miss():
    fixed, moving = parts_of_vertebra(two_parts()), parts_of_vertebra(image(block((4, 4, 4), (4, 4, 4), 41)))
    assert set(compare_parts(fixed, moving, shift(0, 0, 0))) == {"arch"}
    lost = compare_parts(fixed, moving, shift(500, 0, 0))["arch"]
    assert lost == {"dice": 0, "assd_mm": np.inf, "centre_mm": np.inf}
    assert np.isnan(mean_of_parts({})["dice"])


def test_only_the_vertebras_own_parts_are_left():
    data = block((4, 4, 4), (4, 4, 4), 41)
    parts = image(block((20, 4, 4), (4, 4, 4), 41, data))
    label = image(block((4, 4, 4), (4, 4, 4), 20, block((20, 4, 4), (4, 4, 4), 21)))
    own = parts_of_vertebra(parts, label, 21)
    assert np.count_nonzero(own.data) == 64 and own.grid.affine[0, 3] == 20
    fine = Image(np.repeat(label.data, 2, axis=1), Grid((40, 40, 20), np.diag([1, 1, 1, 1.0])), "fine")
    assert np.count_nonzero(parts_of_vertebra(parts, fine, 20).data) == pytest.approx(64, abs=16)
    with pytest.raises(InputError, match="map: holds no part"):
        parts_of_vertebra(parts, label, 22)
    with pytest.raises(InputError, match="map: holds no part"):
        parts_of_vertebra(label)


def test_landmarks_miss_by_a_known_distance(tmp_path):
    (tmp_path / "fixed.csv").write_text("x,y,z\n0,0,0\n1,2,3\n")
    (tmp_path / "moving.csv").write_text("x,y,z\n10,0,0\n11,2,7\n")
    points = read_landmarks(tmp_path / "fixed.csv", tmp_path / "moving.csv")
    np.testing.assert_allclose(landmark_errors(*points, shift(10, 0, 0)), (0, 4))
    (tmp_path / "moving.csv").write_text("x,y,z\n10,0,0\n")
    with pytest.raises(InputError, match="moving.csv: holds 1 landmarks, and .*fixed.csv holds 2"):
        read_landmarks(tmp_path / "fixed.csv", tmp_path / "moving.csv")
