"""What refinement lowers: known values, and its gradients by finite differences."""

import numpy as np
import pytest

from acsgreg_tf.registration.refine.box import Box
from acsgreg_tf.registration.refine.objective import DISTANCE_WEIGHT, FOLD_WEIGHT, Objective, Subject
from acsgreg_tf.registration.refine.optimise import SQUARINGS
from tests.helpers import noise
from tests.registration.refine.cases import IDENTITY, LATTICE, SHAPE, about_centre, body, known

pytestmark = pytest.mark.trains
EVERYWHERE = Box(np.zeros(SHAPE, bool), LATTICE)
STILL = np.zeros((*LATTICE, 3), "float32")


@pytest.fixture(scope="module")
def subject():
    return Subject.of(*body())


def shifted(by):
    return Subject.of(*body(about_centre(SHAPE) + by))


def fine(fixed, moving, smoothness=0.0, window=None, **options):
    return Objective(fixed, moving, window or EVERYWHERE.fine(), smoothness, SQUARINGS, **options)


def test_an_object_against_itself_scores_as_well_as_can_be(subject):
    value, terms, by_affine, by_velocity = fine(subject, subject, 3.0)(IDENTITY, STILL)
    lncc, distance, roughness, folds = terms
    assert lncc == pytest.approx(1, abs=0.01) and (distance, roughness, folds) == (0, 0, 0)
    assert value == pytest.approx(-lncc, abs=1e-5)
    assert by_affine.shape == (3, 4) and by_velocity.shape == (*LATTICE, 3)


def test_the_value_falls_with_the_miss_and_is_least_where_the_affine_undoes_it(subject):
    values = [fine(subject, shifted((x, 0, 0)))(IDENTITY, STILL)[0] for x in (3, 2, 1, 0)]
    assert np.all(np.diff(values) < -0.05)
    objective = fine(subject, shifted((2, 0, 0)))
    tried = {x: objective(IDENTITY + [[0, 0, 0, -x], [0] * 4, [0] * 4], STILL)[0] for x in (0, 1, 2, 3, 4)}
    assert min(tried, key=tried.get) == 2
    assert objective(IDENTITY, STILL)[2][0, 3] > 0  # downhill is towards -2


def test_the_true_deformation_scores_better_than_none(subject):
    velocity, phi = known()
    objective = fine(Subject.of(*body(about_centre(SHAPE) + phi)), subject)
    assert objective(IDENTITY, velocity)[0] < objective(IDENTITY, STILL)[0] - 0.5
    assert objective(IDENTITY, velocity)[0] < objective(IDENTITY, -velocity)[0] - 1


def test_each_term_has_its_weight(subject):
    moving, velocity = shifted((1, 0.5, 0)), known()[0] + noise((*LATTICE, 3), 0.8)
    value, terms, _, _ = fine(subject, moving, 2.5)(IDENTITY, velocity)
    assert np.all(terms > 0)
    assert value == pytest.approx(np.dot(terms, [-1, DISTANCE_WEIGHT, 2.5, FOLD_WEIGHT]), rel=1e-4)
    other = fine(subject, moving, 0.0)(IDENTITY, velocity)
    np.testing.assert_allclose(other[1], terms, rtol=1e-5)
    assert other[0] == pytest.approx(np.dot(terms[[0, 1, 3]], [-1, DISTANCE_WEIGHT, FOLD_WEIGHT]), rel=1e-4)


def test_without_a_surface_the_distance_is_off(subject):
    everything = Subject.of(subject.image + 0.1, np.ones(SHAPE, bool))
    assert everything.distance is None and Subject.of(subject.image, np.zeros(SHAPE, bool)).distance is None
    for pair in ((everything, subject), (subject, everything), (everything, everything)):
        value, terms, _, _ = fine(*pair)(IDENTITY, STILL)
        assert value == pytest.approx(-terms[0], abs=1e-6)


def test_distances_are_cut_at_their_reach(subject):
    far, near = (subject.volume(0.0, reach)[..., 1] for reach in (20.0, 2.0))
    assert far.max() > 6 and far.min() < -3 and np.abs(near).max() == 2
    np.testing.assert_allclose(near, np.clip(far, -2, 2))
    assert np.all((far < 0) == (subject.image > 0))
    blurred = subject.volume(1.0, 2.0)[..., 0]
    assert blurred.sum() == pytest.approx(subject.image.sum(), rel=1e-3) and blurred.max() < subject.image.max()


def windows():
    small = np.zeros(SHAPE, bool)
    small[10:14, 9:12, 7:9] = True
    box = Box(small, LATTICE, margin=2, quantum=4)
    same = Box(np.zeros(SHAPE, bool), SHAPE)
    return {"fine": box.fine(), "full grid": same.fine(), "everywhere": EVERYWHERE.fine()}


@pytest.mark.parametrize("name", ["fine", "full grid", "everywhere"])
def test_gradients_are_those_of_finite_differences(subject, name):
    """In windows too: what the affine does there is told about the whole grid's centre."""
    window = windows()[name]
    box_shape = {"fine": (8, 8, 4), "full grid": window.shape, "everywhere": LATTICE}[name]
    rng = np.random.default_rng(4)
    objective = fine(subject, shifted((0.7, -0.4, 0.3)), 1.5, window, blur=1.0)
    affine = IDENTITY + rng.normal(size=(3, 4)) * [0.02, 0.02, 0.02, 0.3]
    velocity = (0.3 * rng.normal(size=(*box_shape, 3))).astype("float32")
    _, _, by_affine, by_velocity = objective(affine, velocity)
    step = 2e-3
    for direction in rng.normal(size=(3, 3, 4)) * [0.1, 0.1, 0.1, 1]:
        ahead, behind = (objective(affine + sign * step * direction, velocity)[0] for sign in (1, -1))
        assert np.sum(by_affine * direction) == pytest.approx((ahead - behind) / (2 * step), rel=0.03, abs=0.02)
    for direction in (by_velocity / np.abs(by_velocity).max(), rng.normal(size=velocity.shape).astype("float32")):
        ahead, behind = (objective(affine, velocity + sign * step * direction)[0] for sign in (1, -1))
        assert np.sum(by_velocity * direction) == pytest.approx((ahead - behind) / (2 * step), rel=0.03, abs=0.02)
