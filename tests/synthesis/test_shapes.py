"""Shapes: known solids through every reader, shapes between two, and the promises of `vary`."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis import shapes

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
SMALL = (64, 64, 48)


def points(shape=SMALL):
    """Coordinates (X, Y, Z, 3) in mm from the middle of the grid."""
    return np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2


def ball(radius, middle=(0, 0, 0), shape=SMALL):
    return (np.linalg.norm(points(shape) - middle, axis=-1) - radius).astype(np.float32)


def body_with_process(angle=0.0, shape=SMALL):
    """A ball of 11 mm with a rod of 4 mm to the left, turned by `angle` degrees: a vertebra in short."""
    tip = 24 * np.array([-np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0])
    along = np.clip(points(shape) @ tip / (tip @ tip), 0, 1)
    rod = np.linalg.norm(points(shape) - along[..., None] * tip, axis=-1) - 4
    return np.minimum(ball(11, shape=shape), rod).astype(np.float32)


def sphere_mesh(radius, stretch=(1, 1, 1), steps=32):
    """Vertices and faces of a closed sphere, made of rings."""
    polar, turn = np.meshgrid(np.linspace(0, np.pi, steps), np.arange(2 * steps) * np.pi / steps, indexing="ij")
    corners = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    index = np.arange(polar.size).reshape(polar.shape)
    here, right, below = index[:-1], np.roll(index, -1, 1)[:-1], index[1:]
    across = np.roll(index, -1, 1)[1:]
    faces = np.concatenate([np.stack([here, below, right], -1), np.stack([right, below, across], -1)]).reshape(-1, 3)
    return corners.reshape(-1, 3) * radius * np.array(stretch), faces


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def extent(sdf):
    return np.ptp(np.argwhere(sdf <= 0), axis=0) + 1


def save_label(path, data, affine=None):
    nib.save(nib.Nifti1Image(data.astype(np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def test_from_probability_is_exact_for_a_plane():
    expected = np.indices((20, 12, 12))[0] - 9.3
    probability = np.clip(0.5 - expected / 3, 0, 1).astype(np.float32)
    np.testing.assert_allclose(shapes.from_probability(probability), expected, atol=1e-4)
    x, y, z = np.indices((24, 24, 24))
    slanted = (x + 2 * y + 2 * z - 57.5) / 3
    found = shapes.from_probability(np.clip(0.5 - slanted / 5, 0, 1).astype(np.float32))
    near = np.abs(slanted[8:-8, 8:-8, 8:-8]) < 4
    np.testing.assert_allclose(found[8:-8, 8:-8, 8:-8][near], slanted[8:-8, 8:-8, 8:-8][near], atol=0.25)


def test_a_sphere_mesh_gives_the_sphere():
    sdf = shapes.load_mesh(*sphere_mesh(15), shape=SMALL)
    near = np.abs(ball(15)) < 6
    assert sdf.dtype == np.float32
    assert np.abs(sdf - ball(15))[near].max() < 0.9
    assert np.abs(sdf - ball(15))[near].mean() < 0.2


def test_a_mesh_may_be_unwelded_and_wound_at_random():
    vertices, faces = sphere_mesh(15)
    whole = shapes.load_mesh(vertices, faces, shape=SMALL)
    rng = np.random.default_rng(0)
    soup = vertices[np.array([rng.permutation(face) for face in faces])].reshape(-1, 3)
    np.testing.assert_array_equal(shapes.load_mesh(soup, np.arange(len(soup)).reshape(-1, 3), shape=SMALL), whole)


def test_small_holes_in_a_mesh_are_closed_and_large_ones_refused():
    vertices, faces = sphere_mesh(15)
    whole = shapes.load_mesh(vertices, faces, shape=SMALL)
    middles = vertices[faces].mean(axis=1)
    holed = faces[np.linalg.norm(middles - (15, 0, 0), axis=1) > 3]
    assert dice(shapes.load_mesh(vertices, holed, shape=SMALL) <= 0, whole <= 0) > 0.99
    with pytest.raises(InputError, match="not closed"):
        shapes.load_mesh(vertices, faces[middles[:, 2] < 0], shape=SMALL)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ALS", "SRA", "PIL"])
def test_axes_say_where_a_mesh_points(axes):
    # 8 mm to the left, 16 to the right, 20 to the front and back, 12 up and down.
    vertices, faces = sphere_mesh(1, (8, 20, 12))
    vertices[:, 0] *= np.where(vertices[:, 0] > 0, 2, 1)
    expected = shapes.load_mesh(vertices, faces, shape=SMALL)
    columns = [("RL", "AP", "SI").index(next(pair for pair in ("RL", "AP", "SI") if c in pair)) for c in axes]
    signs = [1 if c in "RAS" else -1 for c in axes]
    np.testing.assert_allclose(
        shapes.load_mesh(vertices[:, columns] * signs, faces, axes=axes, shape=SMALL), expected, atol=0.25
    )
    assert (extent(expected) == (24, 40, 24)).all()
    assert (expected <= 0).sum(axis=(1, 2)).argmax() < 31  # thickest left of the middle: the peak points to the right


@pytest.mark.parametrize(
    "change, message",
    [
        ({"axes": "RAX"}, "axes must be"),
        ({"axes": "RLS"}, "axes must be"),
        ({"vertices": np.zeros((4, 2))}, "vertices must be"),
        ({"vertices": np.full((4, 3), np.nan)}, "vertices must be"),
        ({"faces": np.zeros((0, 3), int)}, "faces must be"),
        ({"faces": np.array([[0, 1, 9999]])}, "indices"),
        ({"vertices": sphere_mesh(40)[0]}, "80 x 80 x 80 mm and must fit into 64 x 64 x 48"),
    ],
)
def test_meshes_that_make_no_sense_are_refused(change, message):
    vertices, faces = sphere_mesh(10)
    arguments = {"vertices": vertices, "faces": faces, **change}
    with pytest.raises(InputError, match=message) as caught:
        shapes.load_mesh(**arguments, shape=SMALL, name="thing.npz")
    assert str(caught.value).startswith("thing.npz: ") and "\n" not in str(caught.value)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(3)), flips=st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_a_label_is_the_same_in_any_orientation(order, flips):
    sdf = body_with_process(20)
    image = nib.Nifti1Image((sdf <= 0).astype(np.uint8), np.diag([1, 1, 1, 1.0]))
    image = image.as_reoriented(np.stack([order, flips], axis=1))
    again = shapes.from_mask(np.asarray(image.dataobj) > 0, image.affine, shape=SMALL)
    straight = shapes.from_mask(sdf <= 0, np.eye(4), shape=SMALL)
    np.testing.assert_array_equal(again <= 0, straight <= 0)
    near = np.abs(straight) < 4
    np.testing.assert_allclose(again[near], straight[near], atol=0.5)  # of two nearest points, either may be taken


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 3), (2, 1, 1), (0.5, 0.5, 0.5)])
def test_a_ball_in_voxels_of_any_size_is_the_ball(spacing):
    shape = tuple(int(60 / s) for s in spacing)
    middle = np.array([31, 29.3, 28])
    at = np.moveaxis(np.indices(shape), 0, -1) * spacing
    affine = np.diag([*spacing, 1.0])
    sdf = shapes.from_mask(np.linalg.norm(at - middle, axis=-1) <= 18, affine, shape=SMALL)
    assert dice(sdf <= 0, ball(18) <= 0) > (0.97 if max(spacing) < 3 else 0.94)
    assert (np.abs(np.argwhere(sdf <= 0).mean(axis=0) - (np.array(SMALL) - 1) / 2) < 0.6).all()
    assert abs((sdf <= 0).sum() / (ball(18) <= 0).sum() - 1) < 0.04


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
    with pytest.raises(InputError, match="no voxel has the label 25"):
        shapes.load_label(path, 25)
    with pytest.raises(InputError, match="say which label"):
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
    out = shapes.vary(ball(14), np.random.default_rng(0), **nothing)
    near = np.abs(ball(14)) < 7
    np.testing.assert_allclose(out[near], ball(14)[near], atol=0.3)
    assert out.max() == shapes.FAR


def test_scale_alone_changes_the_volume_as_it_says():
    only = {"rotation": 0, "translation": 0, "anisotropy": 0, "shear": 0, "deformation": ()}
    volumes = [(shapes.vary(ball(12), np.random.default_rng(seed), scale=0.1, **only) <= 0).sum() for seed in range(12)]
    spread = np.cbrt(np.array(volumes) / (ball(12) <= 0).sum())
    assert 0.79 < spread.min() < 0.95 and 1.05 < spread.max() < 1.25  # two standard deviations at most


def test_one_seed_is_one_shape():
    one, again, other = (shapes.vary(body_with_process(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert dice(one <= 0, other <= 0) < 0.99


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), strength=st.floats(0, 4))
def test_what_is_varied_stays_whole_clear_of_the_box_and_a_distance(seed, strength):
    deformation = ((24.0, strength), (12.0, strength / 2), (6.0, 0.5))
    out = shapes.vary(
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
    out = shapes.vary(ball(22), np.random.default_rng(0), scale=0, anisotropy=0, shear=0, deformation=(), margin=4)
    inside = np.argwhere(out <= 0)
    assert inside[:, 2].min() >= 4 and inside[:, 2].max() <= 43
    assert extent(out)[2] >= 38


@pytest.mark.skipif(not SHARED.exists(), reason="the real shapes are not here")
@pytest.mark.parametrize(
    "name, axes, millilitres",
    [("sub-verse016_L1", "LPS", 44), ("clouthier-mean_L3", "ALS", 63), ("visible-human_L3", "ALS", 80)],
)
def test_the_three_mesh_sources_come_out_as_vertebrae(name, axes, millilitres):
    with np.load(SHARED / "meshes" / f"{name}.npz") as mesh:
        inside = shapes.load_mesh(mesh["vertices"], mesh["faces"], axes=axes) <= 0
    assert abs(inside.sum() / 1000 - millilitres) < 2
    assert inside[:, 64:].sum() > 1.5 * inside[:, :64].sum()  # the body is in front
    assert dice(inside, inside[::-1]) > 0.8  # x is left to right
    behind = np.argwhere(inside)[np.argwhere(inside)[:, 1] < np.argwhere(inside)[:, 1].min() + 10]
    assert abs(behind[:, 0].mean() - 63.5) < 6  # behind lies the spinous process, in the middle,
    assert behind[:, 2].mean() < np.argwhere(inside)[:, 2].mean()  # and points down


def test_coarser_keeps_the_middle_and_the_distances():
    points = np.moveaxis(np.indices((32, 32, 32)), 0, -1) - 15.5
    fine = (np.linalg.norm(points, axis=-1) - 11).astype(np.float32)
    coarse = shapes.coarser(fine, 2)
    points = (np.moveaxis(np.indices((16, 16, 16)), 0, -1) - 7.5) * 2
    expected = np.linalg.norm(points, axis=-1) - 11
    near = np.abs(expected) < 5
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse[near], expected[near], atol=0.1)
    np.testing.assert_array_equal(shapes.coarser(fine, 1), fine)


def test_a_coarser_grid_is_varied_by_the_same_millimetres():
    points = (np.moveaxis(np.indices((32, 32, 24)), 0, -1) - [15.5, 15.5, 11.5]) * 2
    sdf = (np.linalg.norm(points, axis=-1) - 15).astype(np.float32)
    same = shapes.vary(
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
        moved = shapes.vary(
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


def test_the_distance_of_a_crop_lies_where_the_mask_lies():
    middle = (3.3, -4.2, 1.6)
    truth = ball(14, middle)
    found = shapes.from_crop(truth <= 0)
    near = np.abs(truth) < 4
    assert found.shape == SMALL and found.dtype == np.float32
    assert np.abs(found - truth)[near].mean() < 0.2 and np.abs(found - truth)[near].max() < 0.8
    np.testing.assert_allclose(
        np.argwhere(found < 0).mean(axis=0), np.array(middle) + (np.array(SMALL) - 1) / 2, atol=0.1
    )
    # Cut by the grid's edge it stays open there: no surface between the last voxel and nothing.
    cut = shapes.from_crop(ball(14, (-30, 0, 0)) <= 0)
    assert cut[0, 32, 24] < -8


def test_a_mask_without_a_surface_has_no_distance():
    assert shapes.from_crop(np.zeros(SMALL, bool)) is None and shapes.from_crop(np.ones(SMALL, bool)) is None
