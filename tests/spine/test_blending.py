"""The blended transform: on each bone its own transform, one-to-one, and one rigid motion far away."""

import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf import metrics
from acsgreg_tf.geometry import Affine, Composite, DenseField, field_to_network, resample_label
from acsgreg_tf.io.transforms import read_transform, write_transform
from acsgreg_tf.io.transforms.itk import to_sitk
from acsgreg_tf.registration.inverse_error import places_around
from acsgreg_tf.spine import blend
from tests.spine.cases import bent, bones


@pytest.fixture(scope="module")
def made():
    """Three vertebrae in a bent posture, and their blend."""
    spine = bones([bent(number) for number in range(3)])
    return spine, blend(spine)


def apart_of(spine, whole):
    """How far the blend takes each bone's voxels from where its own transform does, mm."""
    return [
        np.linalg.norm(whole.transform.apply(points) - bone.transform.apply(points), axis=1)
        for bone in spine
        for points in [bone.grid.index_to_points(np.argwhere(bone.share > 0.5))]
    ]


def test_on_each_bone_it_is_that_bones_own_transform(made):
    for apart in apart_of(*made):
        assert apart.mean() < 0.05 and np.quantile(apart, 0.9) < 0.05


def test_it_does_not_fold_where_touching_bones_turn_against_each_other(made):
    _, whole = made
    back = whole.transform.compose(whole.rigid.inverse()).to_displacement(whole.grid)
    assert not metrics.folds(field_to_network(back)).count
    assert all(metrics.jacobian_determinant(step).min() > 0 for step in whole.steps)
    assert metrics.folds(whole.trend.deformation.phi).count == 0


def test_inverse_leads_back_about_the_bones(made):
    _, whole = made
    points = whole.grid.index_to_points(places_around(whole.region.labels > 0))
    misses = np.linalg.norm(whole.transform.inverse().apply(whole.transform.apply(points)) - points, axis=1)
    assert misses.mean() < 0.1 and misses.max() < 0.6


def test_far_from_the_spine_it_is_one_rigid_motion(made):
    _, whole = made
    far = np.array([[200.0, 0, 0], [0, -180, 40], [10, 10, 170]])
    np.testing.assert_allclose(whole.transform.apply(far), whole.rigid.apply(far), atol=1e-6)
    linear = whole.rigid.matrix[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-9)


def test_moved_labels_do_not_overlap(made):
    """A neighbour's label through one map is never where the bone's own is, unlike through a map each."""
    spine, whole = made
    for upper, lower in zip(spine[:-1], spine[1:], strict=True):
        count = np.zeros(whole.grid.shape, int)
        for bone in (upper, lower):
            # The moving scan's label: the bone where its own transform takes it.
            pulled = bone.transform.inverse()
            count += resample_label(bone.share > 0.5, bone.grid, whole.grid, whole.transform.compose(pulled))
        assert count.max() == 1


def test_deformations_are_blended_too():
    fields = []
    for number, bone in enumerate(bones([bent(n) for n in range(3)])):
        wave = np.sin((bone.grid.points() - bone.grid.center) / 5.0 + number)
        fade = np.clip((15 - np.abs(bone.grid.points() - bone.grid.center)).min(axis=-1) / 4, 0, 1)
        fields.append(DenseField(0.8 * wave[..., [1, 2, 0]] * fade[..., None], bone.grid))
    transforms = [Composite([field, bent(number)]) for number, field in enumerate(fields)]
    spine = bones([bent(number) for number in range(3)], transforms)
    whole = blend(spine)
    for apart in apart_of(spine, whole):
        assert apart.mean() < 0.05


def test_one_motion_of_all_is_that_motion_everywhere():
    motion = bent(1)
    whole = blend(bones([motion] * 3))
    np.testing.assert_allclose(whole.rigid.matrix, motion.matrix, atol=1e-6)
    points = np.random.default_rng(0).uniform(-150, 150, (500, 3))
    np.testing.assert_allclose(whole.transform.apply(points), motion.apply(points), atol=0.01)


def test_one_vertebra_alone():
    stretch = Affine(np.diag([1.1, 0.95, 1.05, 1.0]))
    spine = bones([stretch])
    whole = blend(spine)
    assert apart_of(spine, whole)[0].max() < 0.05


def test_simpleitk_applies_the_written_file_to_the_same_result(made, tmp_path):
    spine, whole = made
    write_transform(tmp_path / "spine.h5", whole.transform, whole.grid)
    label = (spine[1].share > 0.5).astype(np.float32)
    moving = spine[1].grid.crop((-40, -40, -40), (72, 72, 72))
    # The moving scan lies where the spine went.
    shift = np.eye(4)
    shift[:3, 3] = whole.rigid.apply(spine[1].grid.center) - spine[1].grid.center
    moving = type(moving)(moving.shape, shift @ moving.affine)
    image = to_sitk(np.pad(label, 40), moving)
    transform = sitk.ReadTransform(str(tmp_path / "spine.h5"))
    theirs = sitk.Resample(image, to_sitk(np.zeros(whole.grid.shape, np.float32), whole.grid), transform)
    from acsgreg_tf.geometry import resample

    ours = resample(np.pad(label, 40), moving, whole.grid, whole.transform)
    np.testing.assert_allclose(sitk.GetArrayFromImage(theirs).T, ours, atol=2e-3)
    points = whole.grid.index_to_points(whole.region.voxels(2)[:50])
    np.testing.assert_allclose(
        read_transform(tmp_path / "spine.h5", whole.grid).apply(points), whole.transform.apply(points), atol=1e-3
    )
