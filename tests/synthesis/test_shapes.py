"""Shapes: labels read, shapes between two, and the promises of `vary`."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis import shapes
from acsgreg_tf.synthesis.correspondence import correspond
from tests.explore import examples
from tests.geometry.solids import SMALL, ball, body_with_process, dice, extent


def save_label(path, data, affine=None):
    nib.save(nib.Nifti1Image(data.astype(np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def vary(sdf, rng, spacing=1.0, **options):
    return shapes.vary(sdf, rng, shapes.Variation(**options), spacing)


def test_load_label_reads_the_label_that_is_asked_for(tmp_path):
    data = np.zeros((40, 40, 40))
    data[5:15, 5:15, 5:15] = 20
    data[20:36, 22:30, 20:24] = 21
    path = save_label(tmp_path / "seg.nii.gz", data)
    assert (extent(shapes.load_label(path, 21, shape=SMALL)) == (16, 8, 4)).all()
    alone = save_label(tmp_path / "one.nii.gz", data == 20)
    assert (extent(shapes.load_label(alone, shape=SMALL)) == 10).all()


def test_labels_that_cannot_be_read_are_refused(tmp_path):
    path = save_label(tmp_path / "seg.nii.gz", np.arange(8).reshape(2, 2, 2))
    with pytest.raises(InputError, match="does not hold label 25"):
        shapes.load_label(path, 25)
    with pytest.raises(InputError, match="say which one"):
        shapes.load_label(path)
    with pytest.raises(InputError, match="no such file"):
        shapes.load_label(tmp_path / "none.nii.gz", 1)
    with pytest.raises(InputError, match="must fit into 1 x 1 x 1"):
        shapes.load_label(save_label(tmp_path / "big.nii.gz", np.ones((3, 3, 3))), 1, shape=(1, 1, 1))


def test_halfway_between_two_balls_lies_the_ball_between():
    half = shapes.interpolate(ball(10), ball(16), 0.5)
    assert dice(half <= 0, ball(13) <= 0) > 0.97
    assert dice(shapes.interpolate(ball(10), ball(16), 0.0) <= 0, ball(10) <= 0) > 0.995


def test_a_process_is_turned_not_cut_off_between_two_people():
    one, other = body_with_process(0), body_with_process(40)
    between = shapes.interpolate(one, other, 0.5)
    blended = (one + other) / 2
    assert dice(between <= 0, body_with_process(20) <= 0) > 0.93
    assert extent(blended)[0] < extent(one)[0] - 8  # what averaging distances alone would do
    assert extent(between)[0] > extent(body_with_process(20))[0] - 4  # points go straight: a turn costs a little


def test_varying_by_nothing_changes_nothing():
    nothing = {"rotation": 0, "translation": 0, "scale": 0, "anisotropy": 0, "shear": 0, "deformation": ()}
    out = vary(ball(14), np.random.default_rng(0), **nothing)
    near = np.abs(ball(14)) < 7
    np.testing.assert_allclose(out[near], ball(14)[near], atol=0.3)
    assert out.max() == shapes.FAR


def test_scale_alone_changes_the_volume_as_it_says():
    only = {"rotation": 0, "translation": 0, "anisotropy": 0, "shear": 0, "deformation": ()}
    volumes = [(vary(ball(12), np.random.default_rng(seed), scale=0.1, **only) <= 0).sum() for seed in range(12)]
    spread = np.cbrt(np.array(volumes) / (ball(12) <= 0).sum())
    assert 0.79 < spread.min() < 0.95 and 1.05 < spread.max() < 1.25  # two standard deviations at most


def test_one_seed_is_one_shape():
    one, again, other = (vary(body_with_process(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert dice(one <= 0, other <= 0) < 0.99


@examples(8)
@given(seed=st.integers(0, 2**31), strength=st.floats(0, 4))
def test_what_is_varied_stays_whole_clear_of_the_box_and_a_distance(seed, strength):
    deformation = ((24.0, strength), (12.0, strength / 2), (6.0, 0.5))
    out = vary(
        body_with_process(),
        np.random.default_rng(seed),
        rotation=5,
        translation=6,
        deformation=deformation,
        margin=2,
    )
    inside = np.argwhere(out <= 0)
    assert (inside.min(axis=0) >= 2).all() and (inside.max(axis=0) <= np.array(SMALL) - 3).all()
    assert ndimage.label(out <= 0, np.ones((3, 3, 3)))[1] == 1
    slope = np.linalg.norm(np.gradient(out), axis=0)[(out > 0) & (out < 2)]
    assert 0.85 < np.median(slope) < 1.15


def test_a_shape_that_fills_the_box_is_shrunk_into_it():
    out = vary(ball(22), np.random.default_rng(0), scale=0, anisotropy=0, shear=0, deformation=(), margin=4)
    inside = np.argwhere(out <= 0)
    assert inside[:, 2].min() >= 4 and inside[:, 2].max() <= 43
    assert extent(out)[2] >= 38


def test_a_coarser_grid_is_varied_by_the_same_millimetres():
    points = (np.moveaxis(np.indices((32, 32, 24)), 0, -1) - [15.5, 15.5, 11.5]) * 2
    sdf = (np.linalg.norm(points, axis=-1) - 15).astype(np.float32)
    same = vary(
        sdf,
        np.random.default_rng(0),
        rotation=0,
        translation=0,
        scale=0,
        anisotropy=0,
        shear=0,
        deformation=(),
        spacing=2,
    )
    near = np.abs(sdf) < 4
    np.testing.assert_allclose(same[near], sdf[near], atol=0.1)
    assert same.max() <= shapes.FAR
    away = []
    for seed in range(12):
        moved = vary(
            sdf,
            np.random.default_rng(seed),
            rotation=0,
            translation=3.0,
            scale=0,
            anisotropy=0,
            shear=0,
            deformation=(),
            spacing=2,
        )
        away.append((np.argwhere(moved <= 0).mean(axis=0) - np.argwhere(sdf <= 0).mean(axis=0)) * 2)
    assert 1.5 < np.std(away) < 4.0  # normal, cut at two standard deviations, 3 mm


def test_parts_are_carried_along_with_what_is_varied():
    """A ball cut across x: the halves stay on their sides, fill the varied bone, and change nothing of its shape."""
    sdf = ball(14)
    parts = np.where(np.arange(sdf.shape[0]) < sdf.shape[0] / 2, 41, 50).astype(np.uint8)[:, None, None]
    parts = np.ascontiguousarray(np.broadcast_to(parts, sdf.shape))
    for spacing in (1.0, 2.0):
        plain = shapes.vary(spacing * sdf, np.random.default_rng(2), spacing=spacing)
        varied, carried = shapes.vary_with_parts(spacing * sdf, parts, np.random.default_rng(2), spacing=spacing)
        np.testing.assert_array_equal(varied, plain)
        assert carried.dtype == np.uint8 and ((carried > 0) == (varied <= 0)).all()
        volumes = [(carried == number).sum() for number in (41, 50)]
        assert min(volumes) > 0.4 * sum(volumes)
        middles = [np.argwhere(carried == number).mean(axis=0)[0] for number in (41, 50)]
        assert 6 < middles[1] - middles[0] < 18


def test_the_first_shapes_parts_are_carried_to_a_blend():
    one, other = ball(10), ball(16)
    field = correspond(one, other)
    parts = np.where(np.indices(one.shape)[0] < one.shape[0] / 2, 41, 50).astype(np.uint8)
    np.testing.assert_array_equal(shapes.interpolate_parts(parts, 0.0, field), parts)
    own = np.where(one <= 0, parts, 42).astype(np.uint8)  # 42: outside of the first ball
    between = shapes.interpolate(one, other, 0.5, field) <= 0
    carried = shapes.interpolate_parts(own, 0.5, field)
    assert (carried[between] == 42).mean() < 0.05 < ((one > 0) & between).sum() / between.sum()


def test_parts_are_those_of_the_nearest():
    parts = np.zeros((9, 3, 3), np.uint8)
    parts[1], parts[6] = 41, 50
    assert shapes.spread(parts)[:, 1, 1].tolist() == [41, 41, 41, 41, 50, 50, 50, 50, 50]


def test_a_map_of_parts_lies_on_its_shapes_grid(tmp_path):
    """Label map and parts on grids of their own, in one frame."""
    at = np.moveaxis(np.indices((40, 40, 40)), 0, -1) - 19.5
    mask = np.linalg.norm(at / (14, 10, 8), axis=-1) <= 1
    nib.save(nib.Nifti1Image((5 * mask).astype(np.uint8), np.eye(4)), tmp_path / "seg.nii.gz")
    parts = np.where(mask, np.where(at[..., 0] < 0, 41, 50), 0).astype(np.uint8)
    image = nib.Nifti1Image(parts, np.eye(4)).as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    nib.save(image, tmp_path / "parts.nii.gz")
    sdf = shapes.load_label(tmp_path / "seg.nii.gz", 5, shape=(32, 32, 32))
    carried = shapes.load_parts(tmp_path / "parts.nii.gz", tmp_path / "seg.nii.gz", 5, shape=(32, 32, 32))
    assert carried.shape == sdf.shape and set(np.unique(carried)) == {41, 50}
    inside = np.argwhere(sdf <= 0)
    own = carried[tuple(inside.T)]
    assert (own[inside[:, 0] < 15] == 41).all() and (own[inside[:, 0] > 16] == 50).all()
    with pytest.raises(InputError, match="holds no part"):
        shapes.load_parts(tmp_path / "seg.nii.gz", tmp_path / "seg.nii.gz", 5, shape=(32, 32, 32))
