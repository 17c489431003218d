"""Signed distances of known solids, from masks, probabilities and meshes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import distance
from tests.explore import examples
from tests.geometry.solids import SMALL, ball, body_with_process, dice, extent

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def sphere_mesh(radius, stretch=(1, 1, 1), steps=32):
    """Vertices and faces of a closed sphere, made of rings."""
    polar, turn = np.meshgrid(np.linspace(0, np.pi, steps), np.arange(2 * steps) * np.pi / steps, indexing="ij")
    corners = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    index = np.arange(polar.size).reshape(polar.shape)
    here, right, below = index[:-1], np.roll(index, -1, 1)[:-1], index[1:]
    across = np.roll(index, -1, 1)[1:]
    faces = np.concatenate([np.stack([here, below, right], -1), np.stack([right, below, across], -1)]).reshape(-1, 3)
    return corners.reshape(-1, 3) * radius * np.array(stretch), faces


def test_from_probability_is_exact_for_a_plane():
    expected = np.indices((20, 12, 12))[0] - 9.3
    probability = np.clip(0.5 - expected / 3, 0, 1).astype(np.float32)
    np.testing.assert_allclose(distance.from_probability(probability), expected, atol=1e-4)
    x, y, z = np.indices((24, 24, 24))
    slanted = (x + 2 * y + 2 * z - 57.5) / 3
    result = distance.from_probability(np.clip(0.5 - slanted / 5, 0, 1).astype(np.float32))
    near = np.abs(slanted[8:-8, 8:-8, 8:-8]) < 4
    np.testing.assert_allclose(result[8:-8, 8:-8, 8:-8][near], slanted[8:-8, 8:-8, 8:-8][near], atol=0.25)


def test_a_thin_plate_is_as_far_from_either_face():
    """Of the voxels within it the nearer face counts, whichever way the axis runs."""
    across = np.array([0, 0, 0, 0.45, 0.6, 0, 0, 0], np.float32)
    plate = np.broadcast_to(across[:, None, None], (8, 6, 6)).copy()
    result = distance.from_probability(plate)
    np.testing.assert_allclose(result[::-1], distance.from_probability(plate[::-1].copy()), atol=1e-6)
    np.testing.assert_allclose(result[4, 3, 3], -1 / 6, atol=1e-3)


def test_a_sphere_mesh_gives_the_sphere():
    sdf = distance.from_mesh(*sphere_mesh(15), shape=SMALL)
    near = np.abs(ball(15)) < 6
    assert sdf.dtype == np.float32
    assert np.abs(sdf - ball(15))[near].max() < 0.9
    assert np.abs(sdf - ball(15))[near].mean() < 0.2


def test_a_mesh_may_be_unwelded_and_wound_at_random():
    vertices, faces = sphere_mesh(15)
    whole = distance.from_mesh(vertices, faces, shape=SMALL)
    rng = np.random.default_rng(0)
    soup = vertices[np.array([rng.permutation(face) for face in faces])].reshape(-1, 3)
    np.testing.assert_array_equal(distance.from_mesh(soup, np.arange(len(soup)).reshape(-1, 3), shape=SMALL), whole)


def test_small_holes_in_a_mesh_are_closed_and_large_ones_refused():
    vertices, faces = sphere_mesh(15)
    whole = distance.from_mesh(vertices, faces, shape=SMALL)
    middles = vertices[faces].mean(axis=1)
    holed = faces[np.linalg.norm(middles - (15, 0, 0), axis=1) > 3]
    assert dice(distance.from_mesh(vertices, holed, shape=SMALL) <= 0, whole <= 0) > 0.99
    with pytest.raises(InputError, match="not closed"):
        distance.from_mesh(vertices, faces[middles[:, 2] < 0], shape=SMALL)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ALS", "SRA", "PIL"])
def test_axes_say_where_a_mesh_points(axes):
    # 8 mm to the left, 16 to the right, 20 to the front and back, 12 up and down.
    vertices, faces = sphere_mesh(1, (8, 20, 12))
    vertices[:, 0] *= np.where(vertices[:, 0] > 0, 2, 1)
    expected = distance.from_mesh(vertices, faces, shape=SMALL)
    columns = [("RL", "AP", "SI").index(next(pair for pair in ("RL", "AP", "SI") if c in pair)) for c in axes]
    signs = [1 if c in "RAS" else -1 for c in axes]
    np.testing.assert_allclose(
        distance.from_mesh(vertices[:, columns] * signs, faces, axes=axes, shape=SMALL), expected, atol=0.25
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
        distance.from_mesh(**arguments, shape=SMALL, name="thing.npz")
    assert str(caught.value).startswith("thing.npz: ") and "\n" not in str(caught.value)


@examples(8)
@given(order=st.permutations(range(3)), flips=st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_a_label_is_the_same_in_any_orientation(order, flips):
    sdf = body_with_process(20)
    image = nib.Nifti1Image((sdf <= 0).astype(np.uint8), np.diag([1, 1, 1, 1.0]))
    image = image.as_reoriented(np.stack([order, flips], axis=1))
    again = distance.from_mask(np.asarray(image.dataobj) > 0, image.affine, shape=SMALL)
    straight = distance.from_mask(sdf <= 0, np.eye(4), shape=SMALL)
    np.testing.assert_array_equal(again <= 0, straight <= 0)
    near = np.abs(straight) < 4
    np.testing.assert_allclose(again[near], straight[near], atol=0.5)  # of two nearest points, either may be taken


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 3), (2, 1, 1), (0.5, 0.5, 0.5)])
def test_a_ball_in_voxels_of_any_size_is_the_ball(spacing):
    shape = tuple(int(60 / s) for s in spacing)
    middle = np.array([31, 29.3, 28])
    at = np.moveaxis(np.indices(shape), 0, -1) * spacing
    affine = np.diag([*spacing, 1.0])
    sdf = distance.from_mask(np.linalg.norm(at - middle, axis=-1) <= 18, affine, shape=SMALL)
    assert dice(sdf <= 0, ball(18) <= 0) > (0.97 if max(spacing) < 3 else 0.94)
    assert (np.abs(np.argwhere(sdf <= 0).mean(axis=0) - (np.array(SMALL) - 1) / 2) < 0.6).all()
    assert abs((sdf <= 0).sum() / (ball(18) <= 0).sum() - 1) < 0.04


@pytest.mark.skipif(not SHARED.exists(), reason="the real shapes are not here")
@pytest.mark.parametrize(
    "name, axes, millilitres",
    [("sub-verse016_L1", "LPS", 44), ("clouthier-mean_L3", "ALS", 63), ("visible-human_L3", "ALS", 80)],
)
def test_the_three_mesh_sources_come_out_as_vertebrae(name, axes, millilitres):
    with np.load(SHARED / "meshes" / f"{name}.npz") as mesh:
        inside = distance.from_mesh(mesh["vertices"], mesh["faces"], axes=axes) <= 0
    assert abs(inside.sum() / 1000 - millilitres) < 2
    assert inside[:, 64:].sum() > 1.5 * inside[:, :64].sum()  # the body is in front
    assert dice(inside, inside[::-1]) > 0.8  # x is left to right
    behind = np.argwhere(inside)[np.argwhere(inside)[:, 1] < np.argwhere(inside)[:, 1].min() + 10]
    assert abs(behind[:, 0].mean() - 63.5) < 6  # behind lies the spinous process, in the middle,
    assert behind[:, 2].mean() < np.argwhere(inside)[:, 2].mean()  # and points down


def test_coarser_keeps_the_middle_and_the_distances():
    points = np.moveaxis(np.indices((32, 32, 32)), 0, -1) - 15.5
    fine = (np.linalg.norm(points, axis=-1) - 11).astype(np.float32)
    coarse = distance.coarser(fine, 2)
    points = (np.moveaxis(np.indices((16, 16, 16)), 0, -1) - 7.5) * 2
    expected = np.linalg.norm(points, axis=-1) - 11
    near = np.abs(expected) < 5
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse[near], expected[near], atol=0.1)
    np.testing.assert_array_equal(distance.coarser(fine, 1), fine)


def test_the_distance_of_a_crop_lies_where_the_mask_lies():
    middle = (3.3, -4.2, 1.6)
    truth = ball(14, middle)
    result = distance.from_crop(truth <= 0)
    near = np.abs(truth) < 4
    assert result.shape == SMALL and result.dtype == np.float32
    assert np.abs(result - truth)[near].mean() < 0.2 and np.abs(result - truth)[near].max() < 0.8
    np.testing.assert_allclose(
        np.argwhere(result < 0).mean(axis=0), np.array(middle) + (np.array(SMALL) - 1) / 2, atol=0.1
    )
    # Cut by the grid's edge it stays open there: no surface between the last voxel and nothing.
    cut = distance.from_crop(ball(14, (-30, 0, 0)) <= 0)
    assert cut[0, 32, 24] < -8


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_the_distance_of_a_crop_is_in_voxels_whatever_their_size(spacing):
    """A ball of 16 mm has a radius of 16 voxels of 1 mm, and of 8 voxels of 2 mm."""
    points = np.moveaxis(np.indices((48, 48, 48)), 0, -1) - 23.5
    mask = np.linalg.norm(points * spacing, axis=-1) <= 16
    in_voxels = distance.from_crop(mask)
    expected = np.linalg.norm(points, axis=-1) - 16 / spacing
    assert np.abs(in_voxels - expected)[np.abs(expected) < 4].mean() < 0.2
    assert in_voxels.min() == pytest.approx(-16 / spacing, abs=1)


def test_a_mask_without_a_surface_has_no_distance():
    assert distance.from_crop(np.zeros(SMALL, bool)) is None and distance.from_crop(np.ones(SMALL, bool)) is None
