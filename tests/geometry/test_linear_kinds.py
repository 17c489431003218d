"""Rigid maps, similarities and affines: the nearest of a kind, its directions, and poses in numbers."""

import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.geometry import Affine, pose_of
from acsgreg_tf.geometry.linear_kinds import KINDS, nearest_of_kind
from acsgreg_tf.io.transforms import to_sitk_transform
from tests.helpers import turned

SHIFT = (1.5, -2.0, 0.7)
RIGID = np.c_[turned((10, -25, 40)), SHIFT]
SIMILAR = np.c_[1.3 * turned((10, -25, 40)), SHIFT]


@pytest.mark.parametrize(("kind", "affine"), [("rigid", RIGID), ("similarity", SIMILAR), ("affine", 2 * SIMILAR)])
def test_a_map_of_a_kind_is_its_own_nearest(kind, affine):
    np.testing.assert_allclose(nearest_of_kind(affine, kind), affine, atol=1e-12)


def test_the_nearest_rotation_of_a_stretched_one_is_that_rotation():
    stretched = np.c_[turned((10, -25, 40)) @ np.diag([1.2, 0.9, 1.05]), SHIFT]
    np.testing.assert_allclose(nearest_of_kind(stretched, "rigid"), RIGID, atol=1e-12)
    expected = np.c_[1.05 * RIGID[:, :3], SHIFT]
    np.testing.assert_allclose(nearest_of_kind(stretched, "similarity"), expected, atol=1e-12)


def test_the_nearest_of_a_mirroring_map_does_not_mirror():
    nearest = nearest_of_kind(np.c_[np.diag([-1.0, 1.1, 1.2]), np.zeros(3)], "rigid")
    assert np.linalg.det(nearest[:, :3]) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "affine"), [("rigid", RIGID), ("similarity", SIMILAR)])
def test_a_small_step_in_a_direction_stays_of_that_kind(kind, affine):
    for direction in KINDS[kind](affine).T:
        step = affine + 1e-5 * direction.reshape(3, 4)
        np.testing.assert_allclose(nearest_of_kind(step, kind), step, atol=1e-9)


def test_directions_of_a_kind_are_independent():
    for kind, count in (("rigid", 6), ("similarity", 7), ("affine", 12)):
        assert np.linalg.matrix_rank(KINDS[kind](SIMILAR)) == count


def test_angles_and_translation_are_those_of_itk():
    """ITK's Euler3DTransform with ComputeZYX builds Rz Ry Rx from the same angles, about a centre."""
    about = np.array((12.0, -30.0, 55.0))
    euler = sitk.Euler3DTransform()
    euler.SetComputeZYX(True)
    euler.SetCenter((-about[0], -about[1], about[2]))
    euler.SetRotation(*np.radians((-8.0, -14.0, 31.0)))  # LPS: x and y point the other way
    euler.SetTranslation((-3.0, 4.0, 5.0))
    matrix = np.eye(4)
    matrix[:3, 3] = euler.TransformPoint((0.0, 0.0, 0.0))
    matrix[:3, :3] = np.reshape(euler.GetMatrix(), (3, 3))
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine = Affine(flip @ matrix @ flip)
    pose = pose_of(affine, about)
    np.testing.assert_allclose(pose.rotation_deg, (8, 14, 31), atol=1e-9)
    np.testing.assert_allclose(pose.translation_mm, (3, -4, 5), atol=1e-9)
    np.testing.assert_allclose(pose.stretches, 1, atol=1e-12)
    assert not pose.mirrors
    back = to_sitk_transform(affine)
    np.testing.assert_allclose(back.TransformPoint((1.0, 2.0, 3.0)), euler.TransformPoint((1.0, 2.0, 3.0)), atol=1e-9)


def test_stretches_and_mirrors():
    rotation = turned((5, 6, 7))
    pose = pose_of(Affine(np.block([[rotation @ np.diag([2, 0.5, 1]), np.zeros((3, 1))], [0, 0, 0, 1]])), (0, 0, 0))
    np.testing.assert_allclose(pose.stretches, (0.5, 1, 2))
    assert pose_of(Affine(np.diag([-1, 1, 1, 1])), (0, 0, 0)).mirrors
