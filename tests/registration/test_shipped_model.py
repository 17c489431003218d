"""The network in models/ registers the sample pair in data/."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from acsgreg_tf import register
from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import Image, read_image, read_label
from acsgreg_tf.registration import default_model, load_model

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


NAMES = {
    kind: SAMPLE / f"g3-0000{i}-L3_{what}.nii.gz"
    for i, side in enumerate(("fixed", "moving"))
    for kind, what in ((side, "ct"), (f"{side}_seg", "seg"))
}


def test_shipped_network_registers_the_sample_pair():
    result = register(**NAMES)
    dice = result.summary["dice"]
    assert dice["before"] < 0.65 < dice["affine"] < dice["deformable"]
    assert dice["deformable"] >= 0.96  # 0.970 when it was shipped
    assert result.summary["folds"]["count"] == 0 and result.summary["folds"]["network"] <= 20  # 4
    points = result.fixed.grid.points()[result.fixed.label][::50]
    missed = np.linalg.norm(result.inverse.apply(result.transform.apply(points)) - points, axis=1)
    assert missed.mean() < 0.1
    back = result.moving.grid.points()[result.moving.label][::50]
    missed = np.linalg.norm(result.transform.apply(result.inverse.apply(back)) - back, axis=1)
    assert missed.mean() < 0.1


def continuous(image):
    """Cubic spline of a volume blurred by 0.8 mm: what every scanner would then see of it, on whatever grid."""
    return ndimage.spline_filter(ndimage.gaussian_filter(image.data.astype(float), 0.8), 3)


def saved_anew(image, spline, orientation, spacing, shift):
    """`spline`, which lies on an image's 1 mm grid, on another: other axes and spacing, and between the voxels."""
    linear = np.array(orientation, float) * spacing
    middle = image.grid.index_to_points((np.array(image.grid.shape) - 1) / 2) + shift
    shape = tuple(int(n) for n in np.ceil(np.abs(np.linalg.inv(linear)) @ image.grid.shape))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, middle - linear @ ((np.array(shape) - 1) / 2)
    grid = Grid(shape, affine)
    at = np.moveaxis(image.grid.points_to_index(grid.points()), -1, 0)
    return ndimage.map_coordinates(spline, at, order=3, prefilter=False, mode="nearest"), grid


@pytest.mark.slow
@pytest.mark.parametrize(("refine", "limit"), [(0, 0.2), (None, 0.4)])
def test_shipped_network_estimates_one_transform_however_a_scan_was_saved(refine, limit):
    """Within `limit` mm on average, in other orientations, with other spacings and between the voxels.

    Refinement follows the surfaces, on which points may slide.
    """
    network, points, expected = load_model(), None, None
    ct, label = read_image(NAMES["moving"]), read_label(NAMES["moving_seg"])
    splines = continuous(ct), continuous(label)
    ras, pir, lsa = np.eye(3), [[0, 0, -1], [-1, 0, 0], [0, -1, 0]], [[-1, 0, 0], [0, 0, 1], [0, 1, 0]]
    for orientation, spacing, shift in (
        (ras, (1, 1, 1), (0, 0, 0)),
        (pir, (0.75, 0.75, 0.75), (0.2, 0.1, -0.3)),
        (lsa, (0.8, 1.1, 1.2), (-0.1, 0.4, 0.2)),
    ):
        (values, grid), (inside, _) = (saved_anew(ct, spline, orientation, spacing, shift) for spline in splines)
        images = Image(values.astype("float32"), grid, "ct"), Image((inside > 0.5).astype("uint8"), grid, "seg")
        given = {"fixed": NAMES["fixed"], "fixed_seg": NAMES["fixed_seg"], "moving": images[0], "moving_seg": images[1]}
        result = register(**given, model=network, refine=refine)
        if points is None:
            points = result.fixed.grid.points()[result.fixed.label][::20]
            expected = result.transform.apply(points)
        assert np.linalg.norm(result.transform.apply(points) - expected, axis=1).mean() < limit


def test_shipped_network_is_small():
    assert default_model().stat().st_size < 80e6
