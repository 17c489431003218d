"""Parts in refinement: what they add to the objective, its gradient, and that they land on their partners."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.registration.refine import Subject, refine
from acsgreg_tf.registration.refine.box import Box
from acsgreg_tf.registration.refine.objective import Objective
from acsgreg_tf.registration.refine.optimise import SQUARINGS
from acsgreg_tf.registration.refine.parts import PartsTerm
from tests.helpers import noise
from tests.registration.refine.cases import IDENTITY, LATTICE, SHAPE, about_centre, body

pytestmark = pytest.mark.trains
EVERYWHERE = Box(np.zeros(SHAPE, bool), LATTICE)
STILL = np.zeros((*LATTICE, 3), "float32")


def halves(at=0.0):
    """The body cut across x into two parts, by signed distance."""
    points, (_, mask) = about_centre(SHAPE), body()
    sides = {"left": points[..., 0] < at, "right": points[..., 0] >= at}
    return {name: np.clip(from_crop(mask & side), -4, 4) for name, side in sides.items()}


def subject(at=0.0):
    """A body of one intensity, in which nothing but its parts tells a left from a right."""
    _, mask = body()
    return Subject.of(0.5 * mask.astype("float32"), mask, parts=halves(at))


def term(fixed, moving, **options):
    return PartsTerm(fixed, moving, EVERYWHERE.coarse(), 1.0, **options)


def test_parts_against_themselves_miss_by_nothing_and_shifted_ones_do():
    assert term(halves(), halves())(IDENTITY, STILL)[0] == pytest.approx(0, abs=1e-6)
    misses = [term(halves(), halves(at))(IDENTITY, STILL)[0] for at in (1, 2, 3)]
    assert np.all(np.diff([0, *misses]) > 0.05)


def test_only_parts_of_both_sides_count_and_without_one_there_is_no_term():
    both, left = halves(), {"left": halves(2.0)["left"]}
    assert term(both, left).names == ["left"]
    alone = term({"left": both["left"]}, left)(IDENTITY, STILL)[0]
    assert term(both, left)(IDENTITY, STILL)[0] == pytest.approx(alone, rel=1e-6) and alone > 0.1
    window = EVERYWHERE.coarse()
    right = {"right": both["right"]}
    for fixed, moving, weight in ((both, {}, 1.0), ({}, both, 1.0), (left, right, 1.0), (both, both, 0)):
        assert PartsTerm.of(fixed, moving, window, weight) is None
    assert PartsTerm.of(both, both, window, 2.0).weight == 2.0


def test_what_does_not_count_does_not_miss():
    counts = np.ones(SHAPE, "float32")
    counts[8:16] = 0  # where the parts meet
    moving = {name: np.where(counts > 0, d, halves(2.0)[name]) for name, d in halves().items()}
    assert term(halves(), moving)(IDENTITY, STILL)[0] > 0.05
    assert term(halves(), moving, counts=counts)(IDENTITY, STILL)[0] == pytest.approx(0, abs=0.02)


def test_the_objective_with_parts_has_one_term_more_and_the_gradient_of_differences():
    fixed, moving = subject(), subject(1.3)
    part_term = PartsTerm.of(fixed.parts, moving.parts, EVERYWHERE.coarse(), 2.5)
    options = (fixed, moving, EVERYWHERE.fine(), 1.5, SQUARINGS)
    plain, objective = Objective(*options), Objective(*options, parts=part_term)
    rng = np.random.default_rng(4)
    affine = IDENTITY + rng.normal(size=(3, 4)) * [0.02, 0.02, 0.02, 0.3]
    velocity = noise((*LATTICE, 3), 0.3)
    value, terms, by_affine, by_velocity = objective(affine, velocity)
    without, others, plain_affine, plain_velocity = plain(affine, velocity)
    assert objective.terms == (*plain.terms, "parts") and len(terms) == 5
    np.testing.assert_array_equal(terms[:4], others)
    assert value == pytest.approx(without + 2.5 * terms[4], rel=1e-6) and terms[4] > 0.1

    def added(a, v):
        return objective(a, v)[0] - plain(a, v)[0]

    step = 2e-3
    for direction in rng.normal(size=(3, 3, 4)) * [0.1, 0.1, 0.1, 1]:
        ahead, behind = (added(affine + sign * step * direction, velocity) for sign in (1, -1))
        expected = (ahead - behind) / (2 * step)
        assert np.sum((by_affine - plain_affine) * direction) == pytest.approx(expected, rel=0.03, abs=0.02)
    for direction in (by_velocity / np.abs(by_velocity).max(), noise(velocity.shape, seed=9)):
        ahead, behind = (added(affine, velocity + sign * step * direction) for sign in (1, -1))
        expected = (ahead - behind) / (2 * step)
        assert np.sum((by_velocity - plain_velocity) * direction) == pytest.approx(expected, rel=0.03, abs=0.02)


def border(refined):
    """Where phi and the affine take the point on the fixed parts' border, along x from the middle."""
    middle = tuple(np.array(SHAPE) // 2)
    phi = refined.deformation.phi
    point = about_centre(SHAPE)[middle] + phi[middle]
    return float(refined.affine[0, :3] @ point + refined.affine[0, 3] - 0.5)


def test_parts_land_on_their_partners_where_the_surface_says_nothing():
    """The moving border lies 2 voxels to the right in a body of one intensity: parts alone can tell."""
    fixed, moving = subject(), subject(2.0)
    options = {"affine": IDENTITY, "steps": 40, "smoothness": 0.3}
    without, with_parts = refine(fixed, moving, parts_weight=0.0, **options), refine(fixed, moving, **options)
    assert abs(border(without)) < 0.3
    assert border(with_parts) == pytest.approx(2, abs=0.5)
    assert with_parts.terms["parts"] < 0.5 * term(halves(), halves(2.0))(IDENTITY, STILL)[0]
    assert "parts" not in without.terms and with_parts.end < with_parts.start


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match="parts_weight -1"):
        refine(subject(), subject(), parts_weight=-1.0)
