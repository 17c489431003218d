"""The bridge to voxelmorph's conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import (
    Composite,
    affine_from_network,
    affine_to_network,
    field_from_network,
    field_to_network,
    network_grid,
    resample,
)
from acsgreg_tf.io.transforms import read_npz, write_npz
from tests.explore import examples
from tests.geometry.cases import (
    centred_grid,
    fixed_grid,
    moving_grid,
    network_transform,
    smooth_field,
    smooth_image,
)

SHAPE = (16, 20, 12)


def voxelmorph_locations(matrix, shape):
    """Where voxelmorph's affine_to_dense_shift(shift_center=True) samples, computed as its source does."""
    mesh = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    centred = mesh - (np.array(shape) - 1) / 2
    moved = np.concatenate([centred, np.ones((*shape, 1))], axis=-1) @ matrix.T
    return mesh + (moved - centred)


def random_matrix(seed):
    return np.eye(3, 4) + np.random.default_rng(seed).normal(scale=0.1, size=(3, 4)) * (1, 1, 1, 20)


def test_the_identity_takes_one_vertebras_centre_to_the_others():
    fixed, moving = network_grid((10, 20, 30), SHAPE), network_grid((-5, 0, 100), SHAPE)
    affine = affine_from_network(np.eye(3, 4), fixed, moving)
    np.testing.assert_allclose(affine.apply([[10, 20, 30], [11, 20, 30]]), [[-5, 0, 100], [-4, 0, 100]])


def test_a_turn_acts_about_the_centre():
    fixed, moving = network_grid((10, 20, 30), SHAPE), network_grid((-5, 0, 100), SHAPE)
    quarter = np.array([[0, -1, 0, 2.0], [1, 0, 0, 0], [0, 0, 1, 0]])
    affine = affine_from_network(quarter, fixed, moving)
    np.testing.assert_allclose(affine.apply([[10, 20, 30], [13, 20, 30]]), [[-3, 0, 100], [-3, 3, 100]], atol=1e-12)


@examples(20)
@given(st.integers(0, 999))
def test_the_affine_samples_where_voxelmorph_does(seed):
    fixed = centred_grid(SHAPE, (1, -1.2, 1), (0.1, 0.2, 0.3), (5, 6, 7))
    moving = centred_grid(SHAPE, (1, 1, 1.5), (-0.3, 0, 0.2), (50, 60, 70))
    matrix = random_matrix(seed)
    affine = affine_from_network(matrix, fixed, moving)
    index = moving.points_to_index(affine.apply(fixed.points()))
    np.testing.assert_allclose(index, voxelmorph_locations(matrix, SHAPE), atol=1e-9)
    np.testing.assert_allclose(affine_to_network(affine, fixed, moving), matrix, atol=1e-9)


def test_the_whole_network_transform_is_one_sampling_at_a_of_phi():
    fixed, moving = network_grid((5, 6, 7), SHAPE), network_grid((50, 60, 70), SHAPE)
    image, phi = smooth_image(SHAPE), smooth_field(fixed, 2).displacement
    matrix = random_matrix(3)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) + phi
    centre = (np.array(SHAPE) - 1) / 2
    sampled = (index - centre) @ matrix[:, :3].T + matrix[:, 3] + centre
    expected = map_coordinates(image, np.moveaxis(sampled, -1, 0), order=1, mode="nearest")
    transform = Composite([field_from_network(phi, fixed), affine_from_network(matrix, fixed, moving)])
    inside = moving.contains_index(sampled)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(resample(image, moving, fixed, transform)[inside], expected[inside], atol=1e-4)


def test_voxels_become_millimetres_along_the_grids_own_axes():
    grid = centred_grid(SHAPE, (2, 3, 0.5), (0, 0, 0))
    displacement = np.broadcast_to(np.float32([1, -1, 2]), (*SHAPE, 3))
    field = field_from_network(displacement, grid, -displacement)
    np.testing.assert_allclose(field.displacement[3, 4, 5], (2, -3, 1))
    np.testing.assert_allclose(field.inverse().displacement[3, 4, 5], (-2, 3, -1))
    turned = centred_grid(SHAPE, (-2, 3, 0.5), (0.4, 0.5, 0.6), (1, 2, 3))
    np.testing.assert_allclose(field_to_network(field_from_network(displacement, turned)), displacement, atol=1e-5)


def test_an_npz_warps_as_voxelmorph_would(tmp_path):
    """voxelmorph adds `vol` to the voxel index and samples there, knowing nothing of the world."""
    grid = fixed_grid()
    transform = network_transform(grid, grid)
    image = smooth_image(grid.shape)
    write_npz(tmp_path / "warp.npz", transform, grid)
    with np.load(tmp_path / "warp.npz") as file:
        assert sorted(file) == ["affine", "vol"] and file["vol"].dtype == np.float32
        sampled = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1) + file["vol"]
        np.testing.assert_array_equal(file["affine"], grid.affine)
    expected = map_coordinates(image, np.moveaxis(sampled, -1, 0), order=1, mode="nearest")
    inside = grid.contains_index(sampled)
    np.testing.assert_allclose(resample(image, grid, grid, transform)[inside], expected[inside], atol=1e-3)
    back = read_npz(tmp_path / "warp.npz")
    np.testing.assert_allclose(back.displacement, transform.to_displacement(grid).displacement, atol=1e-4)
    assert back.grid.isclose(grid)


def test_voxelmorphs_own_npz_needs_the_grid(tmp_path):
    grid = moving_grid()
    np.savez_compressed(tmp_path / "warp.npz", vol=np.ones((*grid.shape, 3), np.float32))
    with pytest.raises(InputError, match="warp.npz: holds no 'affine'"):
        read_npz(tmp_path / "warp.npz")
    np.testing.assert_allclose(field_to_network(read_npz(tmp_path / "warp.npz", grid)), 1, atol=1e-5)
    with pytest.raises(InputError, match="warp.npz: a displacement field on grid"):
        read_npz(tmp_path / "warp.npz", fixed_grid())


@pytest.mark.parametrize(
    "content", [{"other": np.ones(3)}, {"vol": np.ones((4, 4, 4))}, {"vol": np.ones((4, 4, 4, 2))}]
)
def test_other_npz_files(tmp_path, content):
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(InputError, match="x.npz: a voxelmorph warp must hold 'vol'"):
        read_npz(tmp_path / "x.npz")


def test_bad_input():
    grid = network_grid((0, 0, 0), SHAPE)
    with pytest.raises(InputError, match=r"must be \(3, 4\)"):
        affine_from_network(np.eye(4), grid, grid)
    with pytest.raises(InputError, match="singular"):
        affine_from_network(np.zeros((3, 4)), grid, grid)
    with pytest.raises(InputError, match="share their shape"):
        affine_from_network(np.eye(3, 4), grid, network_grid((0, 0, 0), (8, 8, 8)))
