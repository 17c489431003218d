"""Refinement of a pair: what it recovers, that it never folds nor worsens, and that it can be stopped anywhere."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, refine, without_folds
from acsgreg_tf.registration.refine.box import Box
from acsgreg_tf.registration.refine.objective import Objective, Subject
from acsgreg_tf.registration.refine.optimise import FINE_REACH, SQUARINGS
from tests.helpers import noise, smooth_field
from tests.registration.refine.cases import (
    COARSE,
    IDENTITY,
    LATTICE,
    SHAPE,
    about_centre,
    body,
    displacement,
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
    return {"fixed": fixed, "moving": moving, "fixed_mask": fixed_mask, "moving_mask": moving_mask}


@pytest.fixture(scope="module")
def solved(pair):
    return refine(**pair, affine=IDENTITY, steps=30)


def objective_of(pair, affine, velocity, smoothness=DEFAULT_SMOOTHNESS):
    """The objective on the full images as a refinement counts it, made anew."""
    sides = [Subject.of(pair[name], pair[f"{name}_mask"]) for name in ("fixed", "moving")]
    box = Box(pair["fixed_mask"], velocity.shape[:3])
    return Objective(*sides, box.fine(), smoothness, SQUARINGS, reach=FINE_REACH)(affine, velocity[box.inside])[0]


def does_not_fold(refined, shape):
    phi = displacement(refined, shape)
    assert metrics.folds(phi) == (0, 0) and metrics.non_diffeomorphic_volume(phi).volume == 0
    assert not metrics.folded_cells(phi).any()


# known answers


def test_an_object_on_itself_stays():
    image, mask = body()
    found = refine(image, image, fixed_mask=mask, moving_mask=mask, affine=IDENTITY, steps=6)
    # Nothing beats the start, so it is given back as it was.
    np.testing.assert_array_equal(found.affine, IDENTITY)
    assert not found.velocity.any() and found.velocity.shape == (*LATTICE, 3)
    assert found.end == found.start and found.steps == 6 and not found.stopped
    assert found.terms["lncc"] == pytest.approx(1, abs=0.01) and found.terms["distance"] == 0


def test_a_known_diffeomorphism_is_recovered():
    """Turned, moved by 2 voxels and twisted; the map found is 0.25 voxel away from the true one on average inside."""
    points = about_centre(COARSE)
    truth = twisted(points, 7) @ turned((3, -4, 8)).T + (1.5, -1, 0.5)
    (fixed, fixed_mask), (moving, moving_mask) = textured(truth), textured(points)
    found = refine(fixed, moving, fixed_mask=fixed_mask, moving_mask=moving_mask)
    best = points + found.affine[:, 3] + points @ (found.affine[:, :3] - np.eye(3)).T
    start, affine, end = (
        np.linalg.norm(tried - truth, axis=-1)[fixed_mask].mean()
        for tried in (points, best, points + whole(found, COARSE))
    )
    assert start > 2 and affine > 0.5
    assert end < 0.25
    does_not_fold(found, COARSE)


def test_no_steps_with_an_affine_is_the_start_and_without_one_the_affine_fit(pair):
    velocity, affine = known(0.5)[0], IDENTITY + noise((3, 4), 0.01)
    found = refine(**pair, affine=affine, velocity=velocity, steps=0)
    np.testing.assert_array_equal(found.affine, affine.astype("float32"))
    np.testing.assert_array_equal(found.velocity, velocity)
    assert found.steps == 0
    fitted = refine(**pair, steps=0)
    assert fitted.steps == 0 and not fitted.velocity.any()
    dice = [
        metrics.dice(pair["fixed_mask"], mask) for mask in (pair["moving_mask"], moved(fitted, pair["moving_mask"]))
    ]
    assert dice[1] > dice[0]


# the objective never worsens


def test_the_numbers_told_are_those_of_the_answer(pair, solved):
    assert solved.start == pytest.approx(objective_of(pair, IDENTITY, np.zeros((*LATTICE, 3), "float32")), abs=1e-4)
    assert solved.end == pytest.approx(objective_of(pair, solved.affine, solved.velocity), abs=1e-4)
    assert solved.end < solved.start - 1 and solved.steps == 30
    dice = [
        metrics.dice(pair["fixed_mask"], mask) for mask in (pair["moving_mask"], moved(solved, pair["moving_mask"]))
    ]
    assert dice[0] < 0.92 and dice[1] > 0.97
    does_not_fold(solved, SHAPE)


def test_a_good_start_is_kept_or_bettered(pair, solved):
    again = refine(**pair, affine=solved.affine, velocity=solved.velocity, steps=4)
    assert again.start == pytest.approx(solved.end, abs=1e-4) and again.end <= again.start
    assert objective_of(pair, again.affine, again.velocity) <= solved.end + 1e-4


@given(st.integers(0, 2**16), st.floats(0.1, 1.0), st.integers(1, 5))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_never_worse_than_where_it_started(pair, seed, peak, steps):
    rng = np.random.default_rng(seed)
    affine = IDENTITY + rng.normal(size=(3, 4)) * [0.03, 0.03, 0.03, 0.5]
    velocity = smooth_field(LATTICE, peak, seed=seed)[0]
    found = refine(**pair, affine=affine, velocity=velocity, steps=steps)
    assert found.start == pytest.approx(objective_of(pair, affine, velocity), abs=1e-4)
    assert found.end <= found.start
    assert objective_of(pair, found.affine, found.velocity) <= found.start + 1e-4
    does_not_fold(found, SHAPE)


def test_more_smoothness_is_smoother(pair, solved):
    stiff = refine(**pair, affine=IDENTITY, steps=30, smoothness=60.0)
    assert stiff.terms["roughness"] < 0.5 * solved.terms["roughness"]
    assert stiff.terms["distance"] > solved.terms["distance"]
    spread = [metrics.std_log_jacobian(displacement(found, SHAPE)) for found in (stiff, solved)]
    assert spread[0] < spread[1]


def test_a_velocity_on_the_full_grid(pair):
    found = refine(**pair, affine=IDENTITY, velocity=np.zeros((*SHAPE, 3), "float32"), steps=20)
    assert found.velocity.shape == (*SHAPE, 3) and found.end < found.start - 1
    assert metrics.dice(pair["fixed_mask"], moved(found, pair["moving_mask"])) > 0.95
    does_not_fold(found, SHAPE)


def test_without_masks_the_images_say_where_the_object_is(pair, solved):
    found = refine(pair["fixed"], pair["moving"], affine=IDENTITY, steps=30)
    np.testing.assert_allclose(found.velocity, solved.velocity, atol=1e-4)


# folds


@pytest.mark.parametrize("name", HARD)
def test_hard_phantoms_do_not_fold(name):
    """From nothing, in 20 steps, on a grid of 2.7 mm."""
    (fixed, fixed_mask), (moving, moving_mask) = vertebra(1, "L3"), vertebra(*HARD[name])
    found = refine(fixed, moving, fixed_mask=fixed_mask, moving_mask=moving_mask, steps=20)
    does_not_fold(found, COARSE)
    assert metrics.dice(fixed_mask, moved(found, moving_mask)) > 0.95


@pytest.mark.parametrize("kind", ["noise", "a patch of noise", "far too strong"])
def test_folds_are_smoothed_out_of_any_velocity(kind):
    velocity = noise((*LATTICE, 3), 1.5)
    if kind == "a patch of noise":
        velocity = np.zeros((*LATTICE, 3), "float32")
        velocity[4:7, 5:8, 3:6] = noise((3, 3, 3, 3), 4.0)
    # With two rounds of smoothing only, the rest has to be weakened.
    found, changed = without_folds(*((20 * velocity, SHAPE, 7, 2) if kind == "far too strong" else (velocity, SHAPE)))
    assert changed and metrics.folded_cells(displacement(SimpleNamespace(velocity=velocity), SHAPE)).any()
    phi = displacement(SimpleNamespace(velocity=found), SHAPE)
    assert not metrics.folded_cells(phi).any() and metrics.folds(phi).count == 0
    if kind == "a patch of noise":  # far from it nothing changed
        np.testing.assert_array_equal(found[0], velocity[0])


def test_a_velocity_without_folds_is_left_alone():
    velocity = known()[0]
    found, changed = without_folds(velocity, SHAPE)
    assert not changed and found is velocity


def test_a_start_that_folds_ends_without_folds(pair):
    velocity = noise((*LATTICE, 3), 1.5, seed=5)
    found = refine(**pair, affine=IDENTITY, velocity=velocity, steps=2)
    does_not_fold(found, SHAPE)
    assert found.end == pytest.approx(objective_of(pair, found.affine, found.velocity), abs=1e-3)


# Ctrl-C


class Stop:
    """A progress callback that is Ctrl-C after some steps."""

    def __init__(self, after):
        self.after, self.told = after, []

    def __call__(self, done, total, objective):
        self.told.append((done, total, objective))
        if done == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 12, 20, 30], ids=["first step", "coarse", "fine", "last step"])
def test_stopped_while_deforming_it_gives_the_best_so_far(pair, solved, after):
    stop = Stop(after)
    found = refine(**pair, affine=IDENTITY, steps=30, progress=stop)
    assert found.stopped and found.steps == after
    assert [told[:2] for told in stop.told] == [(i + 1, 30) for i in range(after)]
    assert found.end <= found.start == pytest.approx(solved.start)
    assert found.end == pytest.approx(objective_of(pair, found.affine, found.velocity), abs=1e-4)
    assert np.isfinite(found.affine).all() and np.isfinite(found.velocity).all()
    if after > 1:
        assert found.end < found.start - 0.5, "what the coarse steps found counts"
    does_not_fold(found, SHAPE)


def test_the_affine_from_nothing():
    """Turned by 12 degrees, 10 % larger, 1.5 voxels off."""
    truth = np.c_[turned((0, 4, 12)) * 1.1, (1.5, -1, 0.5)]
    points = about_centre(SHAPE)
    (fixed, fixed_mask), (moving, moving_mask) = body(points @ truth[:, :3].T + truth[:, 3]), body()
    found = refine(fixed, moving, fixed_mask=fixed_mask, moving_mask=moving_mask, steps=0).affine
    assert found.dtype == np.float32
    miss = np.linalg.norm((points[fixed_mask] @ (found - truth)[:, :3].T) + (found - truth)[:, 3], axis=-1)
    assert miss.mean() < 0.4


def test_stopped_at_its_first_step_from_nothing_it_gives_the_fitted_affine(pair):
    found = refine(**pair, steps=10, progress=Stop(1))
    assert found.stopped and found.steps == 1
    assert np.isfinite(found.affine).all() and not np.array_equal(found.affine, IDENTITY)
    dice = [metrics.dice(pair["fixed_mask"], mask) for mask in (pair["moving_mask"], moved(found, pair["moving_mask"]))]
    assert dice[1] > dice[0]


def test_progress_from_nothing(pair):
    told = Stop(None)
    found = refine(**pair, steps=4, progress=told)
    assert [t[:2] for t in told.told] == [(i + 1, 4) for i in range(4)]
    assert found.steps == 4 and not found.stopped
    assert all(np.isfinite(t[2]) for t in told.told)


def test_an_image_without_a_surface_starts_at_the_identity(pair):
    """The affine moves in the steps of the deformable part then."""
    images = {name: np.clip(pair[name], 0.05, 1) for name in ("fixed", "moving")}
    found = refine(**images, steps=0)
    np.testing.assert_array_equal(found.affine, IDENTITY)
    found = refine(**images, steps=20)
    assert found.end < found.start and not np.array_equal(found.affine, IDENTITY)


def test_distances_that_are_given_are_used(pair, solved):
    """Those of the masks change nothing; those of a body half a voxel larger are another objective."""
    distances = {f"{name}_distance": from_crop(pair[f"{name}_mask"]) for name in ("fixed", "moving")}
    same = refine(**pair, **distances, affine=IDENTITY, steps=30)
    np.testing.assert_array_equal(same.velocity, solved.velocity)
    distances["fixed_distance"] = distances["fixed_distance"] - 0.5
    larger = refine(**pair, **distances, affine=IDENTITY, steps=30)
    assert moved(larger, pair["moving_mask"]).sum() > moved(solved, pair["moving_mask"]).sum() * 1.05


# what cannot be done


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"steps": -1}, "number of steps must be a whole number and not negative, got -1"),
        ({"steps": 2.5}, "got 2.5"),
        ({"steps": float("nan")}, "got nan"),
        ({"smoothness": -0.1}, "smoothness must be a number and not negative, got -0.1"),
        ({"smoothness": float("inf")}, "got inf"),
        ({"moving": np.ones((4, 4, 4), "float32")}, r"one shape, got \(24, 24, 16\) and \(4, 4, 4\)"),
        ({"fixed_mask": np.ones((4, 4, 4), bool)}, "mask must have the images' shape"),
        ({"affine": np.eye(4)}, r"an affine must be \(3, 4\), got \(4, 4\)"),
        ({"velocity": np.zeros((1, *LATTICE, 3))}, r"a velocity must be \(x, y, z, 3\)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused(pair, fault, words):
    with pytest.raises(InputError, match=words) as caught:
        refine(**{**pair, "affine": IDENTITY, **fault})
    assert "\n" not in str(caught.value)
