"""Jacobians and folds of known fields, then against an independent script and the authors' program."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.metrics.jacobian import mapped_points, tetrahedra
from tests.explore import examples
from tests.metrics.cases import checkerboard, linear_field, rough_field


@pytest.mark.parametrize("scheme, size", [("forward", (5, 6, 4)), ("central", (4, 5, 3))])
def test_determinant_of_a_linear_field(scheme, size):
    assert np.allclose(metrics.jacobian_determinant(np.zeros((6, 7, 5, 3)), scheme), 1)
    # no symmetry, so that swapped axes show
    matrix = np.array([[1.2, 0.3, -0.1], [0.0, 0.8, 0.4], [0.2, -0.5, 1.1]])
    determinant = metrics.jacobian_determinant(linear_field(matrix), scheme)
    assert determinant.shape == size and np.allclose(determinant, np.linalg.det(matrix))
    assert metrics.folds(linear_field(matrix), scheme) == (0, 0)
    assert metrics.std_log_jacobian(linear_field(matrix), scheme) < 1e-12


@pytest.mark.parametrize("scheme, start", [("forward", 0), ("central", 1)])
def test_determinant_is_where_it_says(scheme, start):
    u = np.zeros((9, 9, 9, 3))
    u[..., 1] = np.arange(9.0).reshape(1, 9, 1) ** 2 * 0.05
    y = np.arange(9.0)[start:-1]
    expected = 1 + 0.05 * (2 * y + 1 if scheme == "forward" else 2 * y)
    assert np.allclose(metrics.jacobian_determinant(u, scheme), expected[:, None])


def test_reflection_folds_everything():
    mirror = linear_field(np.diag([-1, 1, 1]))
    assert metrics.folds(mirror) == (5 * 6 * 4, 100)
    assert np.allclose(metrics.non_diffeomorphic_volume(mirror), (120, 100))
    assert np.isnan(metrics.std_log_jacobian(mirror))
    # A mirror image twice as large is twice the folded volume, where the count stays the same.
    assert np.allclose(metrics.non_diffeomorphic_volume(linear_field(np.diag([-2, 1, 1]))), (240, 200))


def test_a_collapsed_field_is_folded_but_has_no_negative_volume():
    flat = linear_field(np.diag([0, 1, 1]))
    assert metrics.folds(flat).percent == 100
    assert metrics.non_diffeomorphic_volume(flat).volume == 0


def test_central_differences_miss_the_checkerboard():
    u = checkerboard()
    assert np.allclose(metrics.jacobian_determinant(u, "central"), 1)
    assert metrics.folds(u, "central").count == 0
    # Along x every second cell edge has length 1 - 1.2 = -0.2.
    determinant = metrics.jacobian_determinant(u, "forward")
    assert np.allclose(np.sort(np.unique(determinant.round(9))), [-0.2, 2.2])
    assert metrics.folds(u).count == np.count_nonzero((np.indices((6, 7, 5)).sum(0) % 2) == 0)
    # In a cell four of eight corner tetrahedra are -0.2 / 6; the central ones join points that move alike.
    assert np.allclose(metrics.non_diffeomorphic_volume(u), (6 * 7 * 5 * 0.5 * 4 * 0.2 / 6, 100 * 0.4 / 6))


def test_one_voxel_that_jumps_over_its_neighbour():
    u = np.zeros((5, 5, 5, 3))
    u[2, 2, 2, 0] = 1.5
    assert metrics.folds(u, "central").count == 0
    assert metrics.folds(u, "forward").count == 1
    assert metrics.non_diffeomorphic_volume(u).volume > 0


def test_masks_choose_the_points():
    u = np.zeros((5, 5, 5, 3))
    u[2, 2, 2, 0] = 1.5
    mask = np.zeros((5, 5, 5))
    mask[2, 2, 2] = 3
    assert metrics.folds(u, mask=mask) == (1, 100)
    assert metrics.folds(u, mask=1 - (mask > 0)) == (0, 0)
    assert metrics.folds(u, "central", mask=mask) == (0, 0)
    empty = np.zeros((5, 5, 5))
    assert metrics.folds(u, mask=empty).count == 0 and np.isnan(metrics.folds(u, mask=empty).percent)
    assert np.isnan(metrics.non_diffeomorphic_volume(u, empty).percent)
    assert np.isnan(metrics.std_log_jacobian(u, mask=empty))


def test_std_log_jacobian_of_two_halves():
    # Halves of the lattice stretched by e and by 1 / e: log |J| is 1 and -1.
    steps = np.r_[np.full(4, np.e), np.full(4, 1 / np.e)]
    u = np.zeros((9, 4, 4, 3))
    u[..., 0] = (np.r_[0, np.cumsum(steps)] - np.arange(9)).reshape(9, 1, 1)
    assert metrics.std_log_jacobian(u) == pytest.approx(1)


def test_fields_are_checked():
    u = np.zeros((5, 5, 5, 3))
    bad = u.copy()
    bad[1, 1, 1] = np.nan  # a comparison with NaN is False: unchecked, this would count as free of folds
    for measure in (metrics.folds, metrics.non_diffeomorphic_volume, metrics.std_log_jacobian):
        with pytest.raises(InputError, match="not finite"):
            measure(bad)
        for wrong in (u[..., :2], u[0], u[:1]):
            with pytest.raises(InputError, match=r"is not \(X, Y, Z, 3\)"):
                measure(wrong)
        with pytest.raises(InputError, match="mask"):
            measure(u, mask=np.ones((5, 5, 4)))
    with pytest.raises(InputError, match="backward"):
        metrics.jacobian_determinant(u, "backward")
    with pytest.raises(InputError, match="3 or more voxels"):
        metrics.jacobian_determinant(u[:2], "central")


@pytest.mark.parametrize("amplitude", [2.0, 6.0])
def test_folds_agree_with_an_independent_script(reference, amplitude):
    u = rough_field((20, 24, 16), amplitude).astype(np.float32)
    expected = reference.folds_forward(u)
    assert metrics.folds(u) == pytest.approx((expected["njd"], expected["njd_pct"]))
    assert expected["njd"] > 0


@pytest.mark.parametrize("masked", [False, True])
def test_folded_volume_agrees_with_tetrahedra_one_by_one(masked):
    """The definition without finite differences: signed volumes of the tetrahedra of every cell."""
    shape = (4, 5, 4)
    u = rough_field(shape, 1.5, sigma=0.3)
    mask = np.random.default_rng(1).random(shape) < 0.5 if masked else np.ones(shape, bool)
    points = np.stack(np.indices(shape), -1) + u

    def volume(vertices, cell):
        at = np.add(vertices, cell)
        before, after = (np.linalg.det(p[1:] - p[0]) / 6 for p in (at.astype(float), points[tuple(at.T)]))
        return after * np.sign(before)

    corners = list(itertools.product((0, 1), repeat=3))
    total, cells = 0.0, np.ndindex(*np.subtract(shape, 1))
    for cell in cells:
        for parity in (0, 1):  # the two ways to split: round the even or round the odd corners
            central = [c for c in corners if sum(c) % 2 == parity]
            split = [central] + [
                [c] + [n for n in central if np.abs(np.subtract(n, c)).sum() == 1]
                for c in corners
                if sum(c) % 2 != parity
            ]
            assert len(split) == 5
            volumes = [volume(tetrahedron, cell) for tetrahedron in split]
            owners = [(0, 0, 0) if parity == 0 else (1, 1, 1)] + [t[0] for t in split[1:]]
            total += 0.5 * sum(max(0, -v) for v, o in zip(volumes, owners) if mask[tuple(np.add(cell, o))])
    ours = metrics.non_diffeomorphic_volume(u, mask if masked else None)
    domain = mask.sum() if masked else 3 * 4 * 3
    assert total > 0.1 and ours == pytest.approx((total, 100 * total / domain))


def test_folded_volume_agrees_with_the_authors_program():
    """What digital-diffeomorphism (Liu et al.; GPL, needs another NumPy) gave for this field within this mask."""
    u = rough_field((12, 10, 11), 2.0, sigma=0.7, seed=3)
    mask = np.zeros(u.shape[:3])
    mask[2:-2, 2:-2, 2:-2] = 1
    ours = metrics.non_diffeomorphic_volume(u, mask)
    assert ours == pytest.approx((9.050065527970103, 2.6934718833244355), abs=1e-9)


@examples(20)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3))
def test_digital_diffeomorphism_implies_no_folds(seed, amplitude):
    """No folded volume: no negative determinant, forward or central (Liu et al.)."""
    u = rough_field((6, 6, 6), amplitude, seed)
    least = min(metrics.jacobian_determinant(u, scheme).min() for scheme in ("forward", "central"))
    assert least >= 0 or metrics.non_diffeomorphic_volume(u).volume > 0


@pytest.mark.parametrize("size", [0.05, 1.0])
def test_folded_cells_are_those_of_all_ten_determinants(size):
    """Slab by slab as in one piece."""
    u = size * ndimage.gaussian_filter(np.random.default_rng(1).normal(scale=3, size=(14, 12, 13, 3)), (1, 1, 1, 0))
    points = np.moveaxis(u + np.moveaxis(np.indices(u.shape[:3]), 0, -1), -1, 0)
    expected = np.any([determinant <= 0 for determinant, _ in tetrahedra(points)], axis=0)
    np.testing.assert_array_equal(metrics.folded_cells(u), expected)
    assert expected.any() == (size == 1.0)


def test_folded_cells_of_known_fields():
    assert not metrics.folded_cells(np.zeros((4, 5, 6, 3))).any()
    assert metrics.folded_cells(np.zeros((4, 5, 6, 3))).shape == (3, 4, 5)
    assert metrics.folded_cells(linear_field(np.diag([-2, 0, 0]))).all()
    assert metrics.folded_cells(linear_field(np.diag([-1, 0, 0]))).all()  # collapsed: no volume, and no diffeomorphism
    one = np.zeros((6, 6, 6, 3))
    one[3, 2, 2, 0] = -1.5  # voxel 3 lands behind voxel 2
    expected = np.zeros((5, 5, 5), bool)
    expected[2, 1:3, 1:3] = True  # the four cells round the edge between them
    np.testing.assert_array_equal(metrics.folded_cells(one), expected)
    with pytest.raises(InputError, match="displacement"):
        metrics.folded_cells(np.zeros((4, 5, 6)))


@given(st.integers(0, 2**16), st.floats(0.05, 1.5))
@examples(40)
def test_folded_cells_are_those_of_the_volume_and_of_both_differences(seed, amplitude):
    u = rough_field((7, 6, 5), amplitude, seed)
    cells = metrics.folded_cells(u)
    assert cells.any() == (metrics.non_diffeomorphic_volume(u).volume > 0)
    forward = metrics.jacobian_determinant(u) <= 0
    # Backward differences are forward ones of the field seen in a mirror.
    mirrored = u[::-1, ::-1, ::-1] * -1
    backward = metrics.jacobian_determinant(mirrored)[::-1, ::-1, ::-1] <= 0
    assert np.all(cells[forward]) and np.all(cells[backward])
    for cell in np.argwhere(cells)[:5]:  # a folded cell folds on its own
        assert metrics.folded_cells(u[tuple(slice(c, c + 2) for c in cell)]).all()


@pytest.mark.parametrize("least", [0.0, 0.05, -0.1])
@pytest.mark.parametrize("size", [0.3, 1.0, 6.0])
def test_cells_that_are_passed_over_do_not_fold(size, least):
    """Only cells that change enough are looked at; the answer is that of looking at all."""
    field = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(20, 18, 16, 3)), (1.5, 1.5, 1.5, 0))
    field *= size / np.abs(field).max()
    phi = mapped_points(field, least=2)
    masked = metrics.non_diffeomorphic_volume(field, np.ones(field.shape[:3]))
    assert metrics.non_diffeomorphic_volume(field).volume == pytest.approx(masked.volume, rel=1e-9)
    every = np.any([determinant <= least for determinant, _ in tetrahedra(phi)], axis=0)
    np.testing.assert_array_equal(metrics.folded_cells(field, least), every)
    assert every.any() == (size == 6.0)
