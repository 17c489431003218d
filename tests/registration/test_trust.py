"""What is not seen does not count: cut faces, ignored places, and the rest of the bone as if nothing was missing."""

import numpy as np
import pytest

from acsgreg_tf import register
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.prepare import prepare
from acsgreg_tf.registration.scan import Scan
from acsgreg_tf.registration.trust import pulled, pushed
from tests.registration.cases import BOX, NUMBER, grid_about, scan

FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)
SIDE = 44


def whole(place, name):
    return scan(grid_about(place, (SIDE, SIDE, SIDE), 1), place, name=name)


def without_the_right(image, at):
    """A scan that ends at voxel `at` of its first axis."""
    return Image(image.data[:at], image.grid.crop((0, 0, 0), (at, SIDE, SIDE)), image.name)


def cut_moving(way):
    """The moving scan without what lies beyond x = +4 mm, and its mask to ignore."""
    ct, label = whole(MOVING, "moving")
    at = SIDE // 2 + 4
    if way == "edge":
        return without_the_right(ct, at), without_the_right(label, at), None
    gone = np.arange(SIDE)[:, None, None] >= at
    holed = Image(np.where(gone, 0, label.data), label.grid, label.name)
    ignore = Image(np.broadcast_to(gone, label.data.shape).astype(np.uint8), label.grid, "ignore")
    return ct, holed, ignore if way == "ignored" else None


def moved_points(way, **options):
    """Where points of the fixed bone go, clear of the cut, with the moving scan cut in some way or (None) whole."""
    ct, label = whole(FIXED, "fixed")
    moving = (*whole(MOVING, "moving"), None) if way is None else cut_moving(way)
    result = register(
        ct,
        moving[0],
        fixed_seg=label,
        moving_seg=moving[1],
        moving_ignore=moving[2],
        label=NUMBER,
        model="none",
        **options,
    )
    points = result.fixed.grid.index_to_points(np.argwhere(result.fixed.share > 0.5))
    points = points[points[:, 0] < FIXED[0] + 1]
    return result.transform.apply(points) - points


@pytest.mark.parametrize(
    ("options", "ways"),
    [({"transform": "rigid"}, ("edge", "ignored", None)), ({"refine": 8}, ("ignored",))],
    ids=["rigid", "refined"],
)
def test_a_cut_vertebra_goes_where_the_whole_one_goes(options, ways):
    """The two are the same bone, shifted: what is left of it must not be pulled to the cut."""
    expected = np.subtract(MOVING, FIXED)
    for way in ways:
        assert np.linalg.norm(moved_points(way, **options) - expected, axis=1).mean() < 0.15
    assert np.linalg.norm(moved_points("not said", **options) - expected, axis=1).mean() > 0.3


def test_a_pair_of_which_little_is_seen_is_doubted():
    """A quarter of the bone registers to itself without a word, were it not said."""
    ct, label = whole(FIXED, "fixed")
    for at, doubts in ((SIDE // 2 + 4, []), (SIDE // 2 - 2, ["little_seen"])):
        moving = [without_the_right(image, at) for image in whole(MOVING, "moving")]
        sides = {"fixed_seg": label, "moving_seg": moving[1], "label": NUMBER}
        result = register(ct, moving[0], **sides, model="none", transform="rigid")
        assert result.summary["cut"]["moving"]
        assert [flag["name"] for flag in result.summary["flags"] if flag["name"] == "little_seen"] == doubts


@pytest.mark.parametrize("way", ["edge", "ignored"])
def test_beyond_the_cut_nothing_is_seen(way):
    ct, label, ignore = cut_moving(way)
    fixed = Scan(*whole(FIXED, "fixed"), number=NUMBER)
    pair = prepare(fixed, Scan(ct, label, NUMBER, ignore), BOX)
    assert pair.seen[0] is None and pair.trust.fixed is None
    beyond = pair.moving.grid.points()[..., 0] > MOVING[0] + 5
    assert not pair.seen[1][beyond].any() and pair.seen[1][pair.moving.grid.points()[..., 0] < MOVING[0] + 1].all()
    assert not pair.trust.moving[beyond].any()
    # The surface that is seen is trusted, but for what lies beside the cut or the scan's own edge.
    near = np.abs(pair.distances[1]) < 2
    inner = np.abs(pair.moving.grid.points() - (MOVING[0] - 6, *MOVING[1:])).max(axis=-1) < 7
    assert (near & inner).sum() > 100 and (pair.trust.moving[near & inner] == 1).mean() > 0.9


def test_pulled_and_pushed_are_each_others_inverse():
    volume = np.zeros(BOX)
    volume[10:20, 12:22, 8:18] = 1
    velocity = np.broadcast_to(np.float32((1.0, 0, 0)), (16, 16, 16, 3))
    deformation = Deformation(np.eye(3, 4), velocity, BOX)
    step = deformation.step[0]
    pushed_volume = pushed(volume, deformation)
    np.testing.assert_allclose(np.argwhere(pushed_volume > 0.5).mean(0) - np.argwhere(volume > 0.5).mean(0), (2, 0, 0))
    assert 2 < step < 2.1
    np.testing.assert_array_equal(pulled(pushed_volume, deformation) > 0.5, volume > 0.5)
