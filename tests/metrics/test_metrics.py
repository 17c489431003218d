"""Measures against known answers, then MedPy, SimpleITK and an independent script, then their invariances."""

import importlib.util
import itertools
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.metrics.jacobian import tetrahedra

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.0, 2.5)]


# shapes and fields


def cube(start, size=8, shape=(24, 24, 24)):
    label = np.zeros(shape, bool)
    label[tuple(slice(s, s + size) for s in start)] = True
    return label


def generated_vertebra(shape=(64, 64, 40), shift=0.0):
    """A body, a canal and three processes: hollow and concave, as a vertebra is."""
    x, y, z = (np.arange(n) - n / 2 + shift for n in shape)
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    body = (x / 18) ** 2 + ((y - 12) / 13) ** 2 < 1
    ring = np.hypot(x, y + 6) < 11
    spine = (abs(x) < 3) & (y < -8) & (y > -26)
    wings = (abs(x) < 26) & (abs(y + 6) < 4)
    return (body & (abs(z) < 12)) | ((ring | spine | wings) & (abs(z) < 8) & ~(np.hypot(x, y + 6) < 6))


def load(path, labels):
    data = np.isin(np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj), labels)
    return data[ndimage.find_objects(data.astype(np.uint8))[0]]


def centred(crops):
    """The crops in the middle of one volume with a margin of three voxels."""
    shape = np.max([c.shape for c in crops], 0) + 6
    volumes = np.zeros((len(crops), *shape), bool)
    for volume, crop in zip(volumes, crops):
        start = (shape - crop.shape) // 2
        volume[tuple(slice(s, s + n) for s, n in zip(start, crop.shape))] = crop
    return volumes


@pytest.fixture(scope="module")
def pair():
    """L3 of two people, or two generated shapes where the real ones are absent."""
    names = "sub-verse010_seg-vert_msk.nii.gz", "sub-verse005_L3_seg.nii.gz"
    paths = [SHARED / "data" / "spines" / name for name in names]
    if all(path.exists() for path in paths):
        return centred([load(path, (1, 22)) for path in paths])  # a file with one level may call it 1
    return centred([generated_vertebra(), generated_vertebra(shift=2.5)])


@pytest.fixture(scope="module")
def reference():
    """The independent measuring script where it is, else the same definitions written out here."""
    path = SHARED / "tools" / "measure.py"
    if path.exists():
        spec = importlib.util.spec_from_file_location("measure", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def overlap(f, w):
        return {"dice": 2 * (f & w).sum() / (f.sum() + w.sum()), "prec": f[w].mean(), "rec": w[f].mean()}

    def assd(f, w, sp):
        f, w = (m ^ ndimage.binary_erosion(m) for m in (f, w))
        d = np.r_[
            ndimage.distance_transform_edt(~f, sampling=sp)[w],
            ndimage.distance_transform_edt(~w, sampling=sp)[f],
        ]
        return {"assd": d.mean(), "hd95": np.percentile(d, 95)}

    def folds_forward(u):
        columns = [np.diff(u, axis=a)[tuple(slice(0, n - 1) for n in u.shape[:3])] for a in range(3)]
        bad = np.linalg.det(np.stack(columns, -1) + np.eye(3)) <= 0
        return {"njd": bad.sum(), "njd_pct": 100 * bad.mean()}

    return SimpleNamespace(overlap=overlap, assd=assd, folds_forward=folds_forward)


def linear_field(matrix, shape=(6, 7, 5)):
    grid = np.stack(np.indices(shape), -1).astype(float)
    return grid @ (np.asarray(matrix, float) - np.eye(3)).T


def rough_field(shape, amplitude, seed=0, sigma=1.0):
    noise = np.random.default_rng(seed).normal(size=(*shape, 3))
    return amplitude * ndimage.gaussian_filter(noise, (sigma, sigma, sigma, 0))


def checkerboard(shape=(7, 8, 6), amplitude=0.6):
    u = np.zeros((*shape, 3))
    u[..., 0] = amplitude * (-1.0) ** np.indices(shape).sum(0)
    return u


# known answers: labels


def test_shifted_cubes():
    a, b = cube((4, 4, 4)), cube((6, 4, 4))  # 8^3 voxels, two voxels apart along x
    assert metrics.dice(a, b) == 0.75
    assert metrics.precision(a, b) == metrics.recall(a, b) == 0.75
    big = cube((4, 4, 4), size=10)
    assert metrics.precision(a, big) == pytest.approx(0.512) and metrics.recall(a, big) == 1


def test_face_distance_is_in_mm():
    # Plates one voxel thick, three voxels of 2.5 mm apart: every distance is 7.5 mm.
    a, b = np.zeros((2, 20, 20, 20), bool)
    a[3:9, 3:9, 5] = True
    b[3:9, 3:9, 8] = True
    spacing = (1, 1, 2.5)
    distances = metrics.surface_distances(a, b, spacing=spacing)
    assert distances.shape == (72,) and np.allclose(distances, 7.5)
    assert metrics.assd(a, b, spacing=spacing) == pytest.approx(7.5)
    assert metrics.hd95(a, b, spacing=spacing) == pytest.approx(7.5)


def test_assd_pools_both_lists():
    # One voxel at an end of a row of nine: 0 one way, 0..8 the other; pooled mean 36 / 10, mean of means 2.
    a, b = np.zeros((2, 12, 3, 3), bool)
    a[1, 1, 1] = True
    b[1:10, 1, 1] = True
    assert metrics.assd(a, b, spacing=(1, 1, 1)) == pytest.approx(3.6)
    assert metrics.hd95(a, b, spacing=(1, 1, 1)) == pytest.approx(np.percentile([0, *range(9)], 95))


def test_volume_faces_are_borders():
    full = np.ones((5, 5, 5), bool)
    assert metrics.surface_distances(full, full, spacing=(1, 1, 1)).size == 2 * (5**3 - 3**3)


@pytest.mark.parametrize("measure", [metrics.dice, metrics.precision, metrics.recall])
def test_overlap_of_empty_labels(measure):
    full, empty = cube((2, 2, 2)), np.zeros((24, 24, 24), bool)
    assert np.isnan(measure(empty, empty))
    assert measure(full, empty) == measure(empty, full) == 0


@pytest.mark.parametrize("measure", [metrics.assd, metrics.hd95])
def test_distance_of_empty_labels(measure):
    full, empty = cube((2, 2, 2)), np.zeros((24, 24, 24), bool)
    assert np.isnan(measure(empty, empty, spacing=(1, 1, 1)))
    assert measure(full, empty, spacing=(1, 1, 1)) == measure(empty, full, spacing=(1, 1, 1)) == np.inf


def test_both_distances_from_one_list():
    a, b = cube((4, 4, 4)), cube((6, 5, 4))
    both = metrics.surface_distance(a, b, spacing=(1, 2, 1))
    assert (
        both == (metrics.assd(a, b, spacing=(1, 2, 1)), metrics.hd95(a, b, spacing=(1, 2, 1)))
        and 0 < both.assd < both.hd95
    )


def test_labels_are_checked():
    a = cube((2, 2, 2))
    for bad, rule in [
        (a[:-1], "differ"),
        (a[0], "is not (X, Y, Z)"),
        (a * 0.5, "fractional"),
        (np.where(a, np.nan, 0.0), "fractional"),
    ]:
        for measure in (metrics.dice, lambda f, w: metrics.assd(f, w, spacing=(1, 1, 1))):
            with pytest.raises(InputError) as caught:
                measure(a, bad)
            assert rule in str(caught.value) and "\n" not in str(caught.value)
    assert metrics.dice(a, a * 22.0) == 1  # whole numbers in floats are labels, as nibabel reads them
    for spacing in [(1, 1), (1, 1, 0), (1, np.nan, 1), 1.0]:
        with pytest.raises(InputError, match="spacing"):
            metrics.assd(a, a, spacing=spacing)
    with pytest.raises(TypeError):
        metrics.assd(a, a)  # a spacing that is forgotten must not pass for 1 mm


# known answers: fields


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


def test_target_registration_error():
    a = np.array([[0.0, 0, 0], [1, 2, 3]])
    assert np.allclose(metrics.target_registration_error(a, a + [[3, 4, 0], [0, 0, -2]]), [5, 2])
    assert metrics.target_registration_error(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    for b in (a[:1], a[:, :2]):
        with pytest.raises(InputError, match="points"):
            metrics.target_registration_error(a, b)


def test_inverse_consistency_of_translations():
    ones = np.ones((8, 8, 8, 3))
    spacing = (1, 1, 2)
    perfect = metrics.inverse_consistency_error(ones, -ones, spacing=spacing)
    assert np.allclose(perfect, (0, 0))
    off = metrics.inverse_consistency_error(ones, -ones + [0, 0.3, 0.2], spacing=spacing)
    assert np.allclose(off, (0.5, 0.5))  # hypot(0.3, 0.2 * 2)
    gone = metrics.inverse_consistency_error(ones * 20, -ones, spacing=spacing)
    assert np.isnan(gone.mean) and np.isnan(gone.maximum)


def test_inverse_consistency_samples_the_second_field_at_the_mapped_point():
    matrix = np.array([[1.02, 0.03, 0.0], [-0.02, 0.97, 0.01], [0.0, 0.02, 1.01]])
    forward, backward = linear_field(matrix, (9, 9, 9)), linear_field(np.linalg.inv(matrix), (9, 9, 9))
    assert metrics.inverse_consistency_error(forward, backward, spacing=(1, 1, 1)).maximum < 1e-9
    assert metrics.inverse_consistency_error(forward, -forward, spacing=(1, 1, 1)).maximum > 1e-3
    mask = np.zeros((9, 9, 9))
    mask[0, 0, 0] = 1  # the fixed point of a linear map
    assert metrics.inverse_consistency_error(forward, -forward, spacing=(1, 1, 1), mask=mask).maximum < 1e-12


# oracles


def test_overlap_agrees_with_simpleitk(pair):
    fixed, moved = pair
    oracle = sitk.LabelOverlapMeasuresImageFilter()
    oracle.Execute(*(sitk.GetImageFromArray(label.astype(np.uint8)) for label in (moved, fixed)))  # source, target
    assert metrics.dice(fixed, moved) == pytest.approx(oracle.GetDiceCoefficient(), abs=1e-9)
    assert metrics.recall(fixed, moved) == pytest.approx(1 - oracle.GetFalseNegativeError(), abs=1e-9)
    assert metrics.precision(fixed, moved) == pytest.approx(1 - oracle.GetFalseDiscoveryRate(), abs=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_agree_with_simpleitk(pair, spacing):
    contours = []
    for label in pair:
        image = sitk.GetImageFromArray(label.transpose().astype(np.uint8))
        image.SetSpacing(spacing)
        contours.append(sitk.LabelContour(image))
    arrays = [sitk.GetArrayFromImage(c).transpose() > 0 for c in contours]
    maps = [
        sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True, insideIsPositive=False)
        for c in contours
    ]
    maps = [np.abs(sitk.GetArrayFromImage(m).transpose()) for m in maps]
    pooled = np.r_[maps[1][arrays[0]], maps[0][arrays[1]]]
    assert metrics.assd(*pair, spacing=spacing) == pytest.approx(pooled.mean(), abs=1e-6)
    assert metrics.hd95(*pair, spacing=spacing) == pytest.approx(np.percentile(pooled, 95), abs=1e-6)


def test_maximum_agrees_with_simpleitk_hausdorff():
    a, b = cube((4, 4, 4), size=6), cube((3, 4, 4), size=14)
    oracle = sitk.HausdorffDistanceImageFilter()
    oracle.Execute(*(sitk.GetImageFromArray(label.astype(np.uint8)) for label in (a, b)))
    assert metrics.surface_distances(a, b, spacing=(1, 1, 1)).max() == pytest.approx(
        oracle.GetHausdorffDistance(), abs=1e-6
    )


@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_agree_with_medpy(pair, spacing):
    binary = pytest.importorskip("medpy.metric.binary", reason="MedPy (GPL, an oracle only) is not installed")
    fixed, moved = pair
    assert metrics.assd(fixed, moved, spacing=spacing) == pytest.approx(
        binary.assd(moved, fixed, voxelspacing=spacing), abs=1e-6
    )
    assert metrics.hd95(fixed, moved, spacing=spacing) == pytest.approx(
        binary.hd95(moved, fixed, voxelspacing=spacing), abs=1e-6
    )
    assert metrics.precision(fixed, moved) == pytest.approx(binary.precision(moved, fixed))
    assert metrics.recall(fixed, moved) == pytest.approx(binary.recall(moved, fixed))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_labels_agree_with_an_independent_script(pair, reference, spacing):
    fixed, moved = pair
    expected = {**reference.overlap(fixed, moved), **reference.assd(fixed, moved, spacing)}
    ours = {
        "dice": metrics.dice(fixed, moved),
        "prec": metrics.precision(fixed, moved),
        "rec": metrics.recall(fixed, moved),
        "assd": metrics.assd(fixed, moved, spacing=spacing),
        "hd95": metrics.hd95(fixed, moved, spacing=spacing),
    }
    assert ours == pytest.approx(expected, abs=1e-6)


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


# properties


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_distances_are_symmetric_and_scale_with_the_spacing(seed, scale):
    a, b = np.random.default_rng(seed).random((2, 7, 6, 5)) < 0.3
    a[0, 0, 0] = b[-1, -1, -1] = True
    spacing = np.array([1.0, 0.5, 2.0])
    for measure in (metrics.assd, metrics.hd95):
        value = measure(a, b, spacing=spacing)
        assert measure(b, a, spacing=spacing) == pytest.approx(value)
        assert measure(a, b, spacing=scale * spacing) == pytest.approx(scale * value)
        assert measure(a, a, spacing=spacing) == 0
    assert metrics.precision(a, b) == metrics.recall(b, a)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3))
def test_digital_diffeomorphism_implies_no_folds(seed, amplitude):
    """No folded volume: no negative determinant, forward or central (Liu et al.)."""
    u = rough_field((6, 6, 6), amplitude, seed)
    least = min(metrics.jacobian_determinant(u, scheme).min() for scheme in ("forward", "central"))
    assert least >= 0 or metrics.non_diffeomorphic_volume(u).volume > 0


# where it folds


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
@settings(max_examples=40, deadline=None)
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
