"""Overlap against known answers, then SimpleITK and an independent script."""

import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from tests.metrics.cases import cube


def test_shifted_cubes():
    a, b = cube((4, 4, 4)), cube((6, 4, 4))  # 8^3 voxels, two voxels apart along x
    assert metrics.dice(a, b) == 0.75
    assert metrics.precision(a, b) == metrics.recall(a, b) == 0.75
    big = cube((4, 4, 4), size=10)
    assert metrics.precision(a, big) == pytest.approx(0.512) and metrics.recall(a, big) == 1


@pytest.mark.parametrize("measure", [metrics.dice, metrics.precision, metrics.recall])
def test_overlap_of_empty_labels(measure):
    full, empty = cube((2, 2, 2)), np.zeros((24, 24, 24), bool)
    assert np.isnan(measure(empty, empty))
    assert measure(full, empty) == measure(empty, full) == 0


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


def test_overlap_agrees_with_simpleitk(pair):
    fixed, moved = pair
    oracle = sitk.LabelOverlapMeasuresImageFilter()
    oracle.Execute(*(sitk.GetImageFromArray(label.astype(np.uint8)) for label in (moved, fixed)))  # source, target
    assert metrics.dice(fixed, moved) == pytest.approx(oracle.GetDiceCoefficient(), abs=1e-9)
    assert metrics.recall(fixed, moved) == pytest.approx(1 - oracle.GetFalseNegativeError(), abs=1e-9)
    assert metrics.precision(fixed, moved) == pytest.approx(1 - oracle.GetFalseDiscoveryRate(), abs=1e-9)
