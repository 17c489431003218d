"""What refinement lowers, part by part: known values, and gradients against differences and the networks' own."""

import numpy as np
import pytest
from keras import ops

from acsgreg_tf import fields
from acsgreg_tf.fields import gradients
from acsgreg_tf.losses import Diffusion, rounded_difference
from acsgreg_tf.ops import fields as tensor_fields
from tests.helpers import SMALL, noise, slopes, smooth_field


def difference(function, place, direction, step=1e-4):
    """The central difference of a number along a direction."""
    return (function(place + step * direction) - function(place - step * direction)) / (2 * step)


def test_the_integrals_stages_end_in_the_integral():
    velocity = smooth_field(SMALL, 1.0)[0]
    stages = gradients.integrated(velocity, 5)
    assert len(stages) == 6
    np.testing.assert_array_equal(stages[-1], fields.integrate(velocity, 5))


@pytest.mark.trains
@pytest.mark.parametrize("peak", [0.5, 3.0])
def test_the_gradient_of_an_integral(peak):
    """Places at the border, and beyond it, too."""
    velocity, weights = peak * noise((*SMALL, 3), 0.3), noise((*SMALL, 3), seed=1)

    def total(v):
        return np.vdot(fields.integrate(v.astype("float32"), 4).astype(float), weights)

    by_velocity = gradients.integrate_gradient(gradients.integrated(velocity, 4), weights)
    _, (expected,) = slopes(lambda v: ops.sum(tensor_fields.integrate(v, 4) * weights[None]), velocity[None])
    np.testing.assert_allclose(by_velocity, expected[0], atol=1e-4)
    for seed in range(3):
        direction = noise(velocity.shape, seed=seed + 5)
        expected = difference(total, velocity.astype(float), direction)
        assert np.vdot(by_velocity, direction) == pytest.approx(expected, rel=0.03, abs=0.05)


def test_the_gradients_of_the_joint_warp():
    volume, displacement = noise((*SMALL, 2)), noise((6, 7, 5, 3), 1.5, seed=1)
    affine = np.eye(3, 4) + noise((3, 4), 0.1, seed=2) * [1, 1, 1, 10]
    weights = noise((6, 7, 5, 2), seed=3)

    def total(a, u):
        return np.vdot(fields.warp_jointly(volume, a, u).astype(float), weights)

    there = noise(displacement.shape, seed=4)
    by_displacement = there.copy()
    by_affine = gradients.warp_jointly_gradient(volume, affine, displacement, weights, by_displacement)
    assert by_affine.shape == (3, 4)
    by_displacement -= there  # it is added
    for seed in range(3):
        turn, step = noise((3, 4), seed=seed) * [0.1, 0.1, 0.1, 1], noise(displacement.shape, seed=seed)
        expected = difference(lambda a: total(a, displacement), affine, turn)
        assert np.vdot(by_affine, turn) == pytest.approx(expected, rel=0.05, abs=0.1)
        expected = difference(lambda u: total(affine, u), displacement.astype(float), step)
        assert np.vdot(by_displacement, step) == pytest.approx(expected, rel=0.05, abs=0.1)


@pytest.mark.parametrize("shape", [SMALL, (1, 5, 4)])
def test_roughness_is_the_losss_and_its_gradient_that_of_differences(shape):
    field, direction = noise((*shape, 3)), noise((*shape, 3), seed=1)
    value, gradient = gradients.roughness(field)
    if min(shape) > 1:
        assert value == pytest.approx(float(np.array(Diffusion().call(field[None], field[None]))[0]), rel=1e-5)
    expected = difference(lambda f: gradients.roughness(f)[0], field.astype(float), direction)
    assert np.vdot(gradient, direction) == pytest.approx(expected, rel=0.01)
    assert gradients.roughness(np.ones((*shape, 3)))[0] == 0
    np.testing.assert_allclose(gradients.roughness(field, 0.5)[1], 0.5 * gradient, rtol=1e-6)


def test_rounded_differences_are_the_losss_and_their_gradient_that_of_differences():
    pair, target, weights = noise((*SMALL, 2), 2.0), noise(SMALL, 2.0, seed=1), np.abs(noise(SMALL, seed=2))
    values = pair[..., 1]  # as a channel of a warped volume lies in memory
    value, gradient = gradients.rounded_difference(values, target, weights)
    expected = ops.convert_to_numpy(rounded_difference(target[None, ..., None], pair[None, ..., 1:]))[0, ..., 0]
    assert value == pytest.approx(float(np.vdot(expected, weights)), rel=1e-5)
    direction = noise(SMALL, seed=3)

    def total(v):
        return gradients.rounded_difference(v.astype("float32"), target, weights)[0]

    assert np.vdot(gradient, direction) == pytest.approx(difference(total, values.astype(float), direction), rel=0.02)


def test_nothing_is_penalised_where_nothing_folds():
    for field in (np.zeros((*SMALL, 3), "float32"), smooth_field(SMALL, 0.3, sigma=3)[0]):
        value, gradient = gradients.fold_penalty(field, margin=0.2)
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize("shape", [SMALL, (2, 4, 3), (3, 4, 3), (30, 4, 3), (1, 4, 3)])
def test_a_mirrors_penalty_counts_every_corner_of_every_cell(shape):
    index = np.moveaxis(np.indices(shape), 0, -1)
    mirror = (-2 * index * [1, 0, 0]).astype("float32")  # all determinants are -1
    cells = np.prod(np.array(shape) - 1)
    assert gradients.fold_penalty(mirror, margin=0.25)[0] == pytest.approx(8 * cells * 1.25**2, rel=1e-4)


def test_a_single_folds_penalty_pushes_it_open():
    field = np.zeros((6, 6, 6, 3), "float32")
    field[3, 2, 2, 0] = -1.5  # voxel 3 lands behind voxel 2: the edge is -0.5, in four cells, with two ends each
    value, slope = gradients.fold_penalty(field, margin=0.2)
    assert value == pytest.approx(8 * 0.7**2, rel=1e-5)
    assert slope[3, 2, 2, 0] < 0 < slope[2, 2, 2, 0]  # downhill: the one forward, the other back


@pytest.mark.parametrize("seed", range(3))
def test_the_penaltys_gradient_is_that_of_differences(seed):
    rough, direction = noise((*SMALL, 3), 0.5, seed), noise((*SMALL, 3), seed=seed + 10)
    _, slope = gradients.fold_penalty(rough, margin=0.2)
    expected = difference(lambda f: gradients.fold_penalty(f, 0.2)[0], rough.astype(float), direction)
    assert np.vdot(slope, direction) == pytest.approx(expected, rel=0.02)
