"""Refinement of a pair: what it recovers, that it never folds nor worsens, and that it can be stopped anywhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.registration.folds import without_folds
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, Subject, refine
from acsgreg_tf.registration.refine.box import Box
from acsgreg_tf.registration.refine.objective import Objective
from acsgreg_tf.registration.refine.optimise import FINE_REACH, FROM_NOTHING, ONWARD, SQUARINGS
from tests.explore import examples
from tests.helpers import noise, smooth_field
from tests.registration.refine.cases import (
    COARSE,
    IDENTITY,
    LATTICE,
    SHAPE,
    about_centre,
    body,
    known,
    moved,
    textured,
    turned,
    twisted,
    vertebra,
    whole,
)

pytestmark = pytest.mark.trains

# Phantoms to register with person 1's L3: turned by degrees about x, y and z, scaled, wedged by a part of their height.
HARD = {
    "axial turn": (3, "L3", (0, 0, 25), 1.0, 0.0),
    "sagittal turn": (3, "L5", (25, 0, 0), 1.0, 0.0),
    "coronal turn, small": (4, "L2", (0, 25, 0), 0.8, 0.0),
    "large": (5, "L4", (0, 0, 0), 1.25, 0.0),
    "wedged": (6, "L3", (0, 0, 0), 1.0, 0.5),
    "wedged the other way, turned, small": (7, "L5", (-15, 10, 15), 0.9, -0.5),
    "turned, large, wedged": (8, "L2", (14, -14, 14), 1.2, 0.4),
}


@pytest.fixture(scope="module")
def pair():
    """Keywords of `refine`: a body, and the same moved by a known map."""
    (fixed, fixed_mask), (moving, moving_mask) = body(about_centre(SHAPE) + known()[1]), body()
    return {"fixed": Subject.of(fixed, fixed_mask), "moving": Subject.of(moving, moving_mask)}


@pytest.fixture(scope="module")
def solved(pair):
    return refine(**pair, affine=IDENTITY, steps=30)


def objective_of(pair, affine, velocity, smoothness=DEFAULT_SMOOTHNESS):
    """The objective on the full images as a refinement counts it, made anew."""
    box = Box(pair["fixed"].mask, velocity.shape[:3])
    return Objective(pair["fixed"], pair["moving"], box.fine(), smoothness, SQUARINGS, reach=FINE_REACH)(
        affine, velocity[box.inside]
    )[0]


def finished(refined):
    """A refinement as `register` ends it: what folds are left are removed."""
    return replace(refined, deformation=without_folds(refined.deformation))


def does_not_fold(refined):
    phi = refined.deformation.phi
    assert metrics.folds(phi) == (0, 0) and metrics.non_diffeomorphic_volume(phi).volume == 0
    assert not metrics.folded_cells(phi).any()


# known answers


def test_an_object_on_itself_stays():
    image, mask = body()
    side = Subject.of(image, mask)
    result = refine(side, side, affine=IDENTITY, steps=6)
    # Nothing beats the start, which is returned.
    np.testing.assert_array_equal(result.affine, IDENTITY)
    assert not result.velocity.any() and result.velocity.shape == (*LATTICE, 3)
    assert result.end == result.start and result.steps == 6 and not result.stopped
    assert result.terms["lncc"] == pytest.approx(1, abs=0.01) and result.terms["distance"] == 0


def test_a_known_diffeomorphism_is_recovered():
    """Turned, moved by 2 voxels and twisted; the map is 0.25 voxel away from the true one on average inside."""
    points = about_centre(COARSE)
    truth = twisted(points, 7) @ turned((3, -4, 8)).T + (1.5, -1, 0.5)
    (fixed, fixed_mask), (moving, moving_mask) = textured(truth), textured(points)
    result = refine(Subject.of(fixed, fixed_mask), Subject.of(moving, moving_mask))
    best = points + result.affine[:, 3] + points @ (result.affine[:, :3] - np.eye(3)).T
    start, affine, end = (
        np.linalg.norm(tried - truth, axis=-1)[fixed_mask].mean() for tried in (points, best, points + whole(result))
    )
    assert start > 2 and affine > 0.5
    assert end < 0.25
    does_not_fold(result)


def test_no_steps_return_the_start_or_the_fitted_affine(pair):
    velocity, affine = known(0.5)[0], IDENTITY + noise((3, 4), 0.01)
    result = refine(**pair, affine=affine, velocity=velocity, steps=0)
    np.testing.assert_array_equal(result.affine, affine.astype("float32"))
    np.testing.assert_array_equal(result.velocity, velocity)
    assert result.steps == 0
    fitted = refine(**pair, steps=0)
    assert fitted.steps == 0 and not fitted.velocity.any()
    dice = [
        metrics.dice(pair["fixed"].mask, mask) for mask in (pair["moving"].mask, moved(fitted, pair["moving"].mask))
    ]
    assert dice[1] > dice[0]


# the objective never worsens


def test_the_reported_objective_is_that_of_the_result(pair, solved):
    assert solved.start == pytest.approx(objective_of(pair, IDENTITY, np.zeros((*LATTICE, 3), "float32")), abs=1e-4)
    assert solved.end == pytest.approx(objective_of(pair, solved.affine, solved.velocity), abs=1e-4)
    assert solved.end < solved.start - 1 and solved.steps == 30
    dice = [
        metrics.dice(pair["fixed"].mask, mask) for mask in (pair["moving"].mask, moved(solved, pair["moving"].mask))
    ]
    assert dice[0] < 0.92 and dice[1] > 0.97
    does_not_fold(solved)


def test_a_good_start_does_not_get_worse(pair, solved):
    again = refine(**pair, affine=solved.affine, velocity=solved.velocity, steps=4)
    assert again.start == pytest.approx(solved.end, abs=1e-4) and again.end <= again.start
    assert objective_of(pair, again.affine, again.velocity) <= solved.end + 1e-4


@given(st.integers(0, 2**16), st.floats(0.1, 1.0), st.integers(1, 5))
@examples(4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_never_worse_than_where_it_started(pair, seed, peak, steps):
    rng = np.random.default_rng(seed)
    affine = IDENTITY + rng.normal(size=(3, 4)) * [0.03, 0.03, 0.03, 0.5]
    velocity = smooth_field(LATTICE, peak, seed=seed)[0]
    result = refine(**pair, affine=affine, velocity=velocity, steps=steps)
    assert result.start == pytest.approx(objective_of(pair, affine, velocity), abs=1e-4)
    assert result.end <= result.start
    assert objective_of(pair, result.affine, result.velocity) <= result.start + 1e-4
    does_not_fold(result)


def test_more_smoothness_is_smoother(pair, solved):
    stiff = refine(**pair, affine=IDENTITY, steps=30, smoothness=60.0)
    assert stiff.terms["roughness"] < 0.5 * solved.terms["roughness"]
    assert stiff.terms["distance"] > solved.terms["distance"]
    spread = [metrics.std_log_jacobian(result.deformation.phi) for result in (stiff, solved)]
    assert spread[0] < spread[1]


def test_a_velocity_on_the_full_grid(pair):
    result = refine(**pair, affine=IDENTITY, velocity=np.zeros((*SHAPE, 3), "float32"), steps=20)
    assert result.velocity.shape == (*SHAPE, 3) and result.end < result.start - 1
    assert metrics.dice(pair["fixed"].mask, moved(result, pair["moving"].mask)) > 0.95
    does_not_fold(result)


def test_without_masks_the_images_say_where_the_object_is(pair, solved):
    result = refine(Subject.of(pair["fixed"].image), Subject.of(pair["moving"].image), affine=IDENTITY, steps=30)
    np.testing.assert_allclose(result.velocity, solved.velocity, atol=1e-4)


# folds


QUICK = ("wedged", "turned, large, wedged")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in HARD])
def test_hard_phantoms_do_not_fold(name):
    """From nothing, in 20 steps, on a grid of 2.7 mm."""
    (fixed, fixed_mask), (moving, moving_mask) = vertebra(1, "L3"), vertebra(*HARD[name])
    result = finished(refine(Subject.of(fixed, fixed_mask), Subject.of(moving, moving_mask), steps=20))
    does_not_fold(result)
    assert metrics.dice(fixed_mask, moved(result, moving_mask)) > 0.95


def test_a_start_that_folds_ends_without_folds(pair):
    velocity = noise((*LATTICE, 3), 1.5, seed=5)
    result = refine(**pair, affine=IDENTITY, velocity=velocity, steps=2)
    assert metrics.folds(result.deformation.phi).count > 0
    does_not_fold(finished(result))
    assert result.end == pytest.approx(objective_of(pair, result.affine, result.velocity), abs=1e-3)


# Ctrl-C


class Stop:
    """A progress callback that is Ctrl-C after some steps."""

    def __init__(self, after):
        self.after, self.calls = after, []

    def __call__(self, done, total, objective):
        self.calls.append((done, total, objective))
        if done == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 12, 20, 30], ids=["first step", "coarse", "fine", "last step"])
def test_stopped_while_deforming_it_returns_the_best_so_far(pair, solved, after):
    stop = Stop(after)
    result = refine(**pair, affine=IDENTITY, steps=30, progress=stop)
    assert result.stopped and result.steps == after
    assert [calls[:2] for calls in stop.calls] == [(i + 1, 30) for i in range(after)]
    assert result.end <= result.start == pytest.approx(solved.start)
    assert result.end == pytest.approx(objective_of(pair, result.affine, result.velocity), abs=1e-4)
    assert np.isfinite(result.affine).all() and np.isfinite(result.velocity).all()
    if after > 1:
        assert result.end < result.start - 0.5, "what the coarse steps reached counts"
    does_not_fold(result)


def test_the_affine_from_nothing():
    """Turned by 12 degrees, 10 % larger, 1.5 voxels off."""
    truth = np.c_[turned((0, 4, 12)) * 1.1, (1.5, -1, 0.5)]
    points = about_centre(SHAPE)
    (fixed, fixed_mask), (moving, moving_mask) = body(points @ truth[:, :3].T + truth[:, 3]), body()
    result = refine(Subject.of(fixed, fixed_mask), Subject.of(moving, moving_mask), steps=0).affine
    assert result.dtype == np.float32
    miss = np.linalg.norm((points[fixed_mask] @ (result - truth)[:, :3].T) + (result - truth)[:, 3], axis=-1)
    assert miss.mean() < 0.4


def test_stopped_at_its_first_step_from_nothing_it_returns_the_fitted_affine(pair):
    result = refine(**pair, steps=10, progress=Stop(1))
    assert result.stopped and result.steps == 1
    assert np.isfinite(result.affine).all() and not np.array_equal(result.affine, IDENTITY)
    dice = [
        metrics.dice(pair["fixed"].mask, mask) for mask in (pair["moving"].mask, moved(result, pair["moving"].mask))
    ]
    assert dice[1] > dice[0]


def test_progress_from_nothing(pair):
    calls = Stop(None)
    result = refine(**pair, steps=4, progress=calls)
    assert [t[:2] for t in calls.calls] == [(i + 1, 4) for i in range(4)]
    assert result.steps == 4 and not result.stopped
    assert all(np.isfinite(t[2]) for t in calls.calls)


def test_an_image_without_a_surface_starts_at_the_identity(pair):
    """The affine moves in the steps of the deformable part then."""
    images = {name: Subject.of(np.clip(side.image, 0.05, 1)) for name, side in pair.items()}
    result = refine(**images, steps=0)
    np.testing.assert_array_equal(result.affine, IDENTITY)
    result = refine(**images, steps=20)
    assert result.end < result.start and not np.array_equal(result.affine, IDENTITY)


def test_distances_at_hand_go_before_those_of_the_masks(pair, solved):
    """The masks' own change nothing; those of a body half a voxel larger are another objective."""
    fixed, moving = pair["fixed"], pair["moving"]
    same = Subject.of(fixed.image, fixed.mask, from_crop(fixed.mask))
    np.testing.assert_array_equal(refine(same, moving, affine=IDENTITY, steps=30).velocity, solved.velocity)
    larger = Subject.of(fixed.image, fixed.mask, fixed.distance - 0.5)
    larger = refine(larger, moving, affine=IDENTITY, steps=30)
    assert moved(larger, moving.mask).sum() > moved(solved, moving.mask).sum() * 1.05


# what cannot be done


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"steps": -1}, "refine -1: must be a whole number"),
        ({"steps": 2.5}, "refine 2.5: must be a whole number"),
        ({"steps": float("nan")}, "refine nan: must be a whole number"),
        ({"smoothness": -0.1}, "smoothness -0.1: must be a number"),
        ({"smoothness": float("inf")}, "smoothness inf: must be a number"),
        ({"moving": Subject.of(np.ones((4, 4, 4), "float32"))}, r"one shape, got \(24, 24, 16\), \(4, 4, 4\)"),
        ({"affine": np.eye(4)}, r"an affine must be \(3, 4\), got \(4, 4\)"),
        ({"velocity": np.zeros((1, *LATTICE, 3))}, r"a velocity must be \(x, y, z, 3\)"),
        ({"velocity": np.zeros((1, 4, 4, 3))}, r"sides of 2 at least, got \(1, 4, 4, 3\)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused(pair, fault, words):
    with pytest.raises(InputError, match=words) as caught:
        refine(**{**pair, "affine": IDENTITY, **fault})
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError, match="a mask must have the image's shape"):
        Subject.of(np.ones(SHAPE, "float32"), np.ones((4, 4, 4), bool))


def test_how_many_steps_are_coarse():
    """From nothing more than half; after a network three at least, up to half of all; never more than 27."""
    assert [FROM_NOTHING.steps(steps) for steps in (0, 1, 2, 20, 50, 200)] == [0, 0, 1, 11, 27, 27]
    assert [ONWARD.steps(steps) for steps in (0, 1, 2, 5, 8, 50, 200)] == [0, 0, 1, 2, 3, 8, 27]
