"""The network in models/ registers the sample pair in data/."""

from pathlib import Path

import numpy as np

from acsgreg_tf import register
from acsgreg_tf.registration import default_model

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"


def test_shipped_network_registers_the_sample_pair():
    names = {
        kind: SAMPLE / f"g3-0000{i}-L3_{what}.nii.gz"
        for i, side in enumerate(("fixed", "moving"))
        for kind, what in ((side, "ct"), (f"{side}_seg", "seg"))
    }
    result = register(**names)
    dice = result.summary["dice"]
    assert dice["before"] < 0.65 < dice["affine"] < dice["deformable"]
    assert dice["deformable"] >= 0.96  # 0.970 when it was shipped
    assert result.summary["folds"]["count"] == 0 and result.summary["folds"]["network"] <= 20  # 4
    points = result.fixed.grid.points()[result.fixed.label][::50]
    missed = np.linalg.norm(result.inverse.apply(result.transform.apply(points)) - points, axis=1)
    assert missed.mean() < 0.2  # the inverse, on a 1 mm grid, is steep where the deformation shrinks
    back = result.moving.grid.points()[result.moving.label][::50]
    missed = np.linalg.norm(result.transform.apply(result.inverse.apply(back)) - back, axis=1)
    assert missed.mean() < 0.1


def test_shipped_network_is_small():
    assert default_model().stat().st_size < 80e6
