"""Surface distances against known answers, then SimpleITK, MedPy and an independent script, then their invariances."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf import metrics
from tests.explore import examples
from tests.metrics.cases import SPACINGS, cube


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


@examples(20)
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
