"""Pairs of real labels, and an independent script, for the tests of measures."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from tests.metrics.cases import (
    SHARED,
    centred,
    generated_vertebra,
    load,
)


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
