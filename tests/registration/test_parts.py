"""Registration with maps of parts: a refinement lays each on its partner."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import register
from tests.registration.cases import BOX, NUMBER, KnownNetwork, grid_about, scan

FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)


@pytest.fixture(scope="module")
def sides():
    """(CT, label map, map of parts) of one bone of one intensity in two scans, cut into parts 2 mm farther in front."""
    found = []
    for place, border in ((FIXED, 0.0), (MOVING, 2.0)):
        ct, label = scan(grid_about(place, (40, 40, 40), (1, 1, 1)), place)
        front = label.grid.points()[..., 1] > place[1] + border
        parts = np.where(label.data > 0, np.where(front, 50, 41), 0).astype(np.int16)
        flat = Image(np.where(label.data > 0, 400, -50).astype(np.float32), ct.grid, ct.name)
        found.append((flat, label, Image(parts, label.grid, "parts")))
    return found


def run(sides, **options):
    (fixed, fixed_seg, _), (moving, moving_seg, _) = sides
    network = KnownNetwork(inshape=BOX)
    return register(fixed, moving, model=network, fixed_seg=fixed_seg, moving_seg=moving_seg, label=NUMBER, **options)


def parts(sides):
    return {"fixed_parts": sides[0][2], "moving_parts": sides[1][2]}


@pytest.mark.trains
def test_parts_lie_better_on_their_partners_and_the_silhouette_as_well(sides):
    options = {"refine": 20, "smoothness": 1.0}
    plain = run(sides, **options)
    measured_only = run(sides, **options, parts_weight=0.0, **parts(sides))
    result = run(sides, **options, **parts(sides))
    np.testing.assert_array_equal(plain.velocity, measured_only.velocity)
    assert set(result.summary["refinement"]["terms"]) == {"lncc", "distance", "roughness", "folds", "parts"}

    def forward(result):
        """How far in front of the moving bone's middle its border's point is laid, mm; the parts' border is at 2."""
        return float(result.transform.apply(np.array([FIXED]))[0, 1] - MOVING[1])

    assert abs(forward(plain)) < 0.4 and forward(plain) + 0.5 < forward(result) < 2.5
    assert result.summary["dice"]["deformable"] > 0.95 and result.summary["folds"]["count"] == 0


def test_parts_of_another_vertebra_or_of_one_side_are_refused(sides):
    both = parts(sides)
    empty = Image(np.zeros_like(sides[0][2].data), sides[0][2].grid, "no parts")
    for options, words in (
        ({"refine": 5, "fixed_parts": both["fixed_parts"]}, "parts: the parts of one side alone"),
        ({"refine": 5, "moving_parts": both["moving_parts"]}, "parts: the parts of one side alone"),
        ({"refine": 0, **both}, "parts: parts go with refine"),
        ({"refine": 5, "parts_weight": 1.0}, "parts_weight 1: needs the parts of both sides"),
        ({"refine": 5, "parts_weight": -1.0, **both}, "parts_weight -1: must be a number"),
        ({"refine": 0, "parts_weight": 1.0}, "parts_weight 1: goes with refine"),
        ({"refine": 5, **both, "moving_parts": empty}, "no parts: holds no part"),
    ):
        with pytest.raises(InputError, match=words):
            run(sides, **options)
