"""Angles and shifts of known motions, their signs, segments, and the table."""

import csv

import numpy as np
import pytest

from acsgreg_tf.anatomy.axes import Axes
from acsgreg_tf.geometry import Affine
from acsgreg_tf.spine import motions, write_poses
from acsgreg_tf.spine.poses import COLUMNS, motion_of, rigid_part
from tests.spine.cases import rigid

WORLD = Axes(np.eye(3), np.zeros(3))
PLACES = {"L1": (0, 10, 0), "L2": (0, 8, -35), "L3": (0, 5, -70)}


def axes_at(place, turn=None):
    return Axes(np.eye(3) if turn is None else turn.matrix[:3, :3], np.array(place, float))


@pytest.mark.parametrize(
    ("angles", "name"),
    [((-7, 0, 0), "flexion_deg"), ((0, 7, 0), "right_bending_deg"), ((0, 0, 7), "left_rotation_deg")],
)
def test_one_turn_is_one_angle(angles, name):
    summary = motion_of("L1", "level", rigid(angles, (0, 0, 0), (0, 0, 0)), WORLD, np.zeros(3)).summary()
    expected = dict.fromkeys(("flexion_deg", "right_bending_deg", "left_rotation_deg"), 0.0) | {name: 7.0}
    assert {key: summary[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    assert summary["angle_deg"] == pytest.approx(7)


def test_flexion_takes_the_front_down_bending_the_top_right_and_rotation_the_front_left():
    front, top = np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
    for angles, name, point, axis, sign in (
        ((-7, 0, 0), "flexion_deg", front, 2, -1),
        ((0, 7, 0), "right_bending_deg", top, 0, 1),
        ((0, 0, 7), "left_rotation_deg", front, 0, -1),
    ):
        motion = rigid(angles, (0, 0, 0), (0, 0, 0))
        assert getattr(motion_of("L1", "level", motion, WORLD, np.zeros(3)), name) > 0
        assert np.sign(motion.apply(point)[axis]) == sign


def test_angles_are_about_the_vertebras_own_axes():
    frame = rigid((20, -15, 40), (0, 0, 0), (0, 0, 0))
    own = rigid((-9, 0, 0), (0, 0, 0), (0, 0, 0))
    motion = Affine(frame.matrix @ own.matrix @ np.linalg.inv(frame.matrix))
    found = motion_of("L2", "level", motion, axes_at((0, 0, 0), frame), np.zeros(3))
    assert found.flexion_deg == pytest.approx(9)
    assert found.right_bending_deg == pytest.approx(0, abs=1e-9)


def test_segment_does_not_depend_on_where_the_scanner_stood():
    """What two scans' frames have in common cancels: L1 bends by 5 degrees on L2 and L2 by -3 on L3."""
    scanner = rigid((12, 30, -50), (500, -20, 70), (0, 0, 0))
    own = {"L1": rigid((-5, 0, 0), (0, 0, 0), PLACES["L1"]), "L2": rigid((0, 0, 0), (0, 0, 0), (0, 0, 0))}
    own["L3"] = rigid((-3, 0, 0), (0, 0, 0), PLACES["L3"])
    affines = {level: Affine(scanner.matrix @ motion.matrix) for level, motion in own.items()}
    axes = {level: axes_at(place) for level, place in PLACES.items()}
    table = {motion.name: motion for motion in motions(affines, axes, list(PLACES))}
    assert list(table) == ["L1", "L2", "L3", "L1-L2", "L2-L3"]
    assert table["L1-L2"].flexion_deg == pytest.approx(5)
    assert table["L2-L3"].flexion_deg == pytest.approx(-3)
    assert table["L1-L2"].anterior_mm == pytest.approx(0, abs=1e-9)


def test_levels_with_another_between_them_make_no_segment():
    affines = {level: Affine(np.eye(4)) for level in ("L1", "L3")}
    axes = {level: axes_at(PLACES[level]) for level in affines}
    assert [motion.name for motion in motions(affines, axes, list(PLACES))] == ["L1", "L3"]


def test_rigid_part_leaves_out_stretch_but_not_where_the_middle_goes():
    turn = rigid((3, 4, 5), (1, 2, 3), (0, 0, 0))
    stretched = Affine(turn.matrix @ np.diag([1.2, 0.9, 1.1, 1.0]))
    about = np.array([5.0, -3, 8])
    part = rigid_part(stretched, about)
    np.testing.assert_allclose(part.matrix[:3, :3], turn.matrix[:3, :3], atol=1e-9)
    np.testing.assert_allclose(part.apply(about), stretched.apply(about))


def test_table_is_written_with_its_columns(tmp_path):
    axes = {level: axes_at(place) for level, place in PLACES.items()}
    table = motions({level: rigid((-2, 0, 0), (0, 1, 0), (0, 0, 0)) for level in PLACES}, axes, list(PLACES))
    write_poses(tmp_path / "poses.csv", table)
    with open(tmp_path / "poses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["name"] for row in rows] == [motion.name for motion in table]
    assert float(rows[0]["flexion_deg"]) == pytest.approx(2)
