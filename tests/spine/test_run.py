"""Whole spines whose motions are known: poses, the swap of fixed and moving, what the answer says of each level."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine
from acsgreg_tf.registration import Options, Selection, engine, read_scan
from acsgreg_tf.spine import register_spine
from acsgreg_tf.spine.poses import motions
from tests.registration.cases import interrupt_refinement
from tests.spine.cases import phantom_spine, rigid, turned_about

LEVELS = ["L1", "L2"]
PERSON = rigid((5, -4, 12), (90, -40, 25), (0, 0, 0))
MOTIONS = {
    "L1": turned_about(0, (-6, 2, 1), (0.5, 1.0, 1.5), PERSON),
    "L2": turned_about(1, (4, -1, 2), (0, -0.5, -1.0), PERSON),
}


@pytest.fixture(scope="module")
def sides():
    return phantom_spine(dict.fromkeys(LEVELS)), phantom_spine(MOTIONS)


def registered(fixed, moving, **options):
    scans = [read_scan(None, side) for side in (fixed, moving)]
    return register_spine(*scans, LEVELS, Selection(), network=None, options=Options(**options))


@pytest.fixture(scope="module")
def there(sides):
    return registered(*sides, transform="rigid")


def test_poses_of_a_known_bend_come_back(there):
    """Within 0.2 degrees and 0.2 mm, levels and segments."""
    known = motions(MOTIONS, there.axes, LEVELS)
    assert [motion.name for motion in known] == [motion.name for motion in there.motions]
    for found, true in zip(there.motions, known, strict=True):
        for key, value in true.summary().items():
            assert getattr(found, key) == pytest.approx(value, abs=0.2), (true.name, key)


@pytest.mark.slow
@pytest.mark.parametrize("options, method", [({"transform": "rigid"}, "surfaces"), ({"refine": 0}, "surfaces")])
def test_progress_names_each_step_once(sides, options, method):
    names = []
    scans = [read_scan(None, side) for side in sides]
    result = register_spine(
        *scans, LEVELS, Selection(), network=None, options=Options(**options), progress=names.append
    )
    assert sorted(names) == sorted(["registering L1", "registering L2", "blending", "moving the scan", "measuring"])
    assert set(result.summary["seconds"]) == {"registering levels", *names[2:], "total"}
    assert {own["method"] for own in result.summary["levels"].values()} == {method}


def test_bones_stay_as_they_are_and_the_whole_does_not_fold(there):
    summary = there.summary
    assert summary["folds"]["count"] == 0
    assert summary["inverse_error_mm"] < 0.1
    assert summary["overlap_ml"]["spine"] == 0
    for own in summary["levels"].values():
        assert own["difference_mm"] < 0.05
        assert own["dice"]["spine"] > own["dice"]["own"] - 0.002
        assert own["dice"]["spine"] > 0.97
        assert own["method"] == "surfaces"


def test_swapping_fixed_and_moving_gives_the_inverse(sides, there):
    back = registered(*sides[::-1], transform="rigid")
    for number in (1, 2):
        points = there.blend.grid.index_to_points(there.blend.region.voxels(number))
        apart = np.linalg.norm(back.transform.apply(there.transform.apply(points)) - points, axis=1)
        assert apart.mean() < 0.2


def test_moved_labels_lie_on_the_fixed_ones(sides, there):
    for number in (20, 21):
        one, other = sides[0].data == number, there.moved_seg.data == number
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_while_a_level_is_refined_ends_the_spine(sides, monkeypatch, threads):
    monkeypatch.setattr(engine, "threads", lambda: threads)
    interrupt_refinement(monkeypatch, after=1)
    with pytest.raises(KeyboardInterrupt):
        registered(*sides, refine=4)


def test_a_scan_without_a_label_map_is_refused(sides):
    from dataclasses import replace

    scans = [read_scan(None, side) for side in sides]
    with pytest.raises(InputError, match="label map"):
        register_spine(
            replace(scans[0], label_map=None), scans[1], LEVELS, Selection(), network=None, options=Options()
        )


@pytest.mark.slow
def test_thoracic_levels_are_refined_and_named_so(sides):
    """What the network was not trained on goes without it, whatever network there is."""
    table = {"T11": 20, "T12": 21}
    scans = [read_scan(None, side) for side in sides]
    result = register_spine(
        *scans, ["T11", "T12"], Selection(table=table), network=Unused(), options=Options(refine=10)
    )
    assert {own["method"] for own in result.summary["levels"].values()} == {"refinement"}
    assert result.summary["folds"]["count"] == 0
    for own in result.summary["levels"].values():
        assert own["dice"]["spine"] > 0.97
        assert own["difference_mm"] < 0.05
    assert [motion.name for motion in result.motions] == ["T11", "T12", "T11-T12"]


class Unused:
    """An engine that must not be asked."""

    inshape = (128, 128, 64)
    title = name = "unused"
    threaded = True

    def affine(self, fixed, moving):
        raise AssertionError("the network was asked")

    velocity = affine


@pytest.mark.slow
def test_identity_where_both_are_one(sides):
    result = registered(sides[0], sides[0], transform="rigid")
    for motion in result.motions:
        assert motion.angle_deg < 0.05
    np.testing.assert_allclose(result.blend.rigid.matrix, Affine(np.eye(4)).matrix, atol=0.01)
