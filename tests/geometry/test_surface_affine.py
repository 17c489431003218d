"""The affine between two surfaces: known maps recovered from any start, and steady where labels are cut."""

import numpy as np
import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.geometry import surface_affine as affine_fit
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import Trust, first_guess, fit_affine, misfit, trusted_distance
from acsgreg_tf.synthesis import phantom
from tests.explore import examples
from tests.helpers import about_centre, turned

COARSE = (48, 48, 24)
IDENTITY = np.eye(3, 4)


def ellipsoid(points, half=(17.0, 13.0, 8.0), bump=(0, -13, 2)):
    """Signed distance, nearly, of an ellipsoid with a bump, at points (X, Y, Z, 3) in voxels."""
    body = (np.linalg.norm(points / half, axis=-1) - 1) * min(half)
    return np.minimum(body, np.linalg.norm(points - bump, axis=-1) - 6).astype("float32")


def placed(affine):
    """The signed distance whose surface an affine takes to that of `ellipsoid` about the centre."""
    return ellipsoid(about_centre(COARSE) @ affine[:, :3].T + affine[:, 3])


def miss(result, truth, inside):
    change = result - truth
    return np.linalg.norm(about_centre(COARSE)[inside] @ change[:, :3].T + change[:, 3], axis=-1).max()


MOVING = ellipsoid(about_centre(COARSE))
TRUTH = np.c_[turned((3, -4, 12)) @ np.diag([1.1, 0.95, 1.05]), (1.5, -2, 0.7)]


def test_an_object_on_itself_stays():
    np.testing.assert_allclose(fit_affine(MOVING, MOVING, IDENTITY), IDENTITY, atol=1e-6)


@pytest.mark.parametrize("start", [None, IDENTITY])
def test_a_known_affine_is_recovered(start):
    """From nothing and from the identity, to a tenth of a voxel at most."""
    fixed = placed(TRUTH)
    result = fit_affine(fixed, MOVING, start)
    assert result.shape == (3, 4)
    assert miss(IDENTITY, TRUTH, fixed < 0) > 3
    assert miss(result, TRUTH, fixed < 0) < 0.1


@examples(10, phases=(Phase.explicit, Phase.generate))
@given(
    angles=st.tuples(*[st.floats(-20, 20)] * 3), scale=st.floats(0.85, 1.2), shift=st.tuples(*[st.floats(-4, 4)] * 3)
)
def test_any_affine_is_recovered_from_nothing(angles, scale, shift):
    truth = np.c_[turned(angles) * scale, shift]
    fixed = placed(truth)
    assert miss(fit_affine(fixed, MOVING), truth, fixed < 0) < 0.1


def test_masks_will_do():
    """Voxels' steps are averaged away."""
    fixed = placed(TRUTH)
    result = fit_affine(from_crop(fixed < 0), from_crop(MOVING < 0))
    assert miss(result, TRUTH, fixed < 0) < 0.25


def test_what_only_one_of_the_two_has_sways_it_less_than_squares_would(monkeypatch):
    """A long process that one label lacks, as where a scan ends."""
    fixed = placed(TRUTH)
    longer = np.minimum(MOVING, np.linalg.norm(about_centre(COARSE) - (14, 14, 0), axis=-1) - 5).astype("float32")
    assert (longer < 0).sum() > 1.05 * (MOVING < 0).sum()
    robust = miss(fit_affine(fixed, longer), TRUTH, fixed < 0)
    monkeypatch.setattr(affine_fit, "ROBUST", 1e6)
    plain = miss(fit_affine(fixed, longer), TRUTH, fixed < 0)
    assert robust < 0.5 and robust < 0.6 * plain


def test_the_first_guess_lays_centroids_and_volumes_on_each_other():
    truth = np.c_[1.1 * np.eye(3), (2, -1, 0.5)]
    np.testing.assert_allclose(first_guess(placed(truth), MOVING), truth, atol=0.03)


@pytest.mark.parametrize("shift", [(0, 0, 0), (5, 0, 0), (0, -5, 0), (0, 0, 5)])
def test_phantoms_of_two_people_from_any_start(shift):
    """Turned, and up to 14 mm off, out of the surfaces' reach: the result is that from nothing, and overlap rises."""
    fixed, moving = (phantom.vertebra(seed, "L3", COARSE, 2.7) / 2.7 for seed in (1, 5))
    nothing, known = fit_affine(fixed, moving), fit_affine(fixed, moving, np.c_[turned((0, 0, 6)), shift])
    assert miss(nothing, known, fixed < 0) < 0.1

    def dice(affine):
        at = about_centre(COARSE) @ affine[:, :3].T + affine[:, 3] + (np.array(COARSE) - 1) / 2
        return metrics.dice(
            fixed < 0, ndimage.map_coordinates(moving, np.moveaxis(at, -1, 0), order=1, mode="nearest") < 0
        )

    assert dice(nothing) > dice(first_guess(fixed, moving)) + 0.02


def test_a_start_out_of_reach_gives_way_to_the_first_guess():
    far = np.c_[np.eye(3), (40, 40, 20)]
    np.testing.assert_allclose(fit_affine(MOVING, MOVING, far), IDENTITY, atol=1e-6)


@pytest.mark.parametrize("start", [None, IDENTITY])
def test_it_never_mirrors(start):
    """A thick slab on a thin one: without care the least difference is that of a mirror."""
    thin, thick = (np.zeros(COARSE, bool) for _ in range(2))
    thin[10:40, 10:40, 12] = thick[10:40, 10:40, 7:19] = True
    for pair in ((thick, thin), (thin, thick)):
        result = fit_affine(*map(from_crop, pair), start)
        assert np.isfinite(result).all() and np.linalg.det(result[:, :3]) > 0


def test_a_single_voxel_has_no_surface():
    mask = np.zeros(COARSE, bool)
    mask[20, 20, 10] = True
    assert from_crop(mask) is None


@pytest.mark.parametrize(("kind", "scale"), [("rigid", 1.0), ("similarity", 1.12)])
@pytest.mark.parametrize("start", [None, IDENTITY])
def test_a_known_map_of_a_kind_is_recovered(kind, scale, start):
    truth = np.c_[scale * turned((4, -9, 14)), (1.5, -2, 0.7)]
    fixed = placed(truth)
    result = fit_affine(fixed, MOVING, start, kind=kind)
    assert miss(result, truth, fixed < 0) < 0.1
    np.testing.assert_allclose(np.linalg.svd(result[:, :3])[1], np.linalg.svd(result[:, :3])[1].mean(), atol=1e-9)


def test_a_rigid_fit_of_a_stretched_surface_stays_rigid():
    result = fit_affine(placed(TRUTH), MOVING, kind="rigid")
    np.testing.assert_allclose(result[:, :3] @ result[:, :3].T, np.eye(3), atol=1e-9)


PLACED = np.c_[turned((3, -4, 12)), (1.5, -2, 0.7)]


@pytest.mark.parametrize("start", [None, PLACED])
def test_what_is_not_trusted_does_not_sway_it(start):
    """A third of the moving surface's width is gone, and its cut face is no surface."""
    fixed, seen = from_crop(placed(PLACED) < 0), np.ones(COARSE, bool)
    seen[: COARSE[0] // 3 + 2] = False
    cut = from_crop((MOVING < 0) & seen)
    swayed = miss(fit_affine(fixed, cut, start), PLACED, fixed < 0)
    trusted = Trust(moving=trusted_distance(cut, seen))
    assert miss(fit_affine(fixed, cut, start, trust=trusted), PLACED, fixed < 0) < 1 < 5 < swayed
    backward = np.linalg.inv(np.vstack([PLACED, (0, 0, 0, 1)]))[:3]
    trusted = Trust(fixed=trusted_distance(cut, seen))
    result = fit_affine(cut, fixed, None if start is None else backward, trust=trusted)
    assert miss(result, backward, (cut < 0) & seen) < 1


def test_a_flipped_surface_misses_more():
    fixed = placed(np.c_[turned((3, -4, 5)), (1, 0, 1)])
    assert misfit(fixed, MOVING, reach=5) < 0.1 * misfit(fixed, np.ascontiguousarray(MOVING[:, ::-1]), reach=5)
