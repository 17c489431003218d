"""The affine between two surfaces: known maps recovered from any start, and steady where labels are cut."""

import numpy as np
import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.geometry import surface_affine as affine_fit
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import first_guess, fit_affine
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
