"""SpatialTransformer and VecInt: voxelmorph's own classes as the judge of outputs and gradients; habits of a layer."""

import inspect

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import JointTransformer, SpatialTransformer, VecInt
from acsgreg_tf.layers._voxelmorph import voxelmorph
from acsgreg_tf.ops import fields
from tests.helpers import LARGE, SMALL, dtype_of, gradients, is_no_gradient, noise, smooth_field
from tests.keras_cases import check_layer
from tests.ops.cases import after_displacement

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# Every pair of values of the five options occurs: shape, method, indexing, fill value, single transform.
PAIRWISE = [
    (2, "linear", "ij", None, False),
    (2, "nearest", "xy", 0.5, True),
    (3, "linear", "xy", 0.5, False),
    (3, "nearest", "ij", None, True),
    (3, "linear", "ij", 0.5, True),
    (2, "nearest", "xy", None, False),
    (3, "nearest", "ij", 0.5, False),
    (2, "linear", "xy", None, True),
]
OPTIONS = ("interp_method", "indexing", "fill_value", "single_transform")


def case_name(case):
    return "-".join(map(str, case))


def names(options):
    return "-".join(str(value) for value in options.values())


def arguments(layer):
    return [name for name in inspect.signature(layer.__init__).parameters if name != "kwargs"]


def affines(rank, batch=2, scale=0.2):
    return (np.eye(rank, rank + 1) + noise((batch, rank, rank + 1), scale, seed=rank)).astype("float32")


def assert_same(ours, theirs, *inputs):
    """Same value, and the same gradient of every input (of the squared output)."""
    value, result = gradients(lambda *t: ours(list(t) if len(t) > 1 else t[0]), *inputs)
    wanted, expected = gradients(lambda *t: theirs(list(t) if len(t) > 1 else t[0]), *inputs)
    np.testing.assert_allclose(value, wanted, **TOLERANCE)
    for got, want in zip(result, expected, strict=True):
        got, want = (np.zeros(1) if g is None else g for g in (got, want))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * max(1, np.abs(want).max()))


# === voxelmorph's results ===


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", PAIRWISE, ids=case_name)
def test_dense_transform_agrees_with_voxelmorph(case):
    rank, options = case[0], dict(zip(OPTIONS, case[1:], strict=True))
    shape = (12, 9) if rank == 2 else SMALL
    # Reaches well outside; every point lies off the voxels, where the gradient is not defined.
    image, displacement = noise((2, *shape, 2)), noise((2, *shape, rank), 3.0, seed=1)
    assert_same(SpatialTransformer(**options), voxelmorph.layers.SpatialTransformer(**options), image, displacement)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", PAIRWISE, ids=case_name)
def test_affine_agrees_with_voxelmorph(case):
    rank, options = case[0], dict(zip(OPTIONS, case[1:], strict=True))
    shape = (11, 11) if rank == 2 else SMALL
    image, matrix = noise((2, *shape, 2)), affines(rank)
    assert_same(SpatialTransformer(**options), voxelmorph.layers.SpatialTransformer(**options), image, matrix)


@pytest.mark.tensorflow
def test_affine_about_the_first_voxel_agrees_with_voxelmorph():
    image, matrix = noise((2, *SMALL, 1)), affines(3)
    assert_same(
        SpatialTransformer(shift_center=False),
        voxelmorph.layers.SpatialTransformer(shift_center=False),
        image,
        matrix,
    )


@pytest.mark.tensorflow
def test_compiled_warp_agrees_with_voxelmorph():
    image, displacement = noise((2, *LARGE, 1)), noise((2, *LARGE, 3), 3.0, seed=1)
    assert_same(SpatialTransformer(), voxelmorph.layers.SpatialTransformer(), image, displacement)


@pytest.mark.tensorflow
def test_another_grid_agrees_with_voxelmorph():
    image, displacement = noise((2, *SMALL, 1)), noise((2, 5, 12, 8, 3), 2.0, seed=1)
    with pytest.warns(UserWarning, match="does not match"):  # theirs, of the shapes
        assert_same(SpatialTransformer(), voxelmorph.layers.SpatialTransformer(), image, displacement)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"indexing": "xy", "int_steps": 2},
        {"int_steps": 0},
        {"method": "scaling_and_squaring", "int_steps": 1},
        {"method": "quadrature", "int_steps": 3},
        {"method": "quadrature", "int_steps": 1},
    ],
    ids=names,
)
@pytest.mark.parametrize("shape", [(12, 9), SMALL], ids=["2-D", "3-D"])
def test_integration_agrees_with_voxelmorph(shape, options):
    velocity = noise((2, *shape, len(shape)), 1.0)
    assert_same(VecInt(**options), voxelmorph.layers.VecInt(**options), velocity)


@pytest.mark.tensorflow
def test_compiled_integration_agrees_with_voxelmorph():
    velocity = smooth_field(LARGE, 4.0) + noise((1, *LARGE, 3), 0.2)
    assert_same(VecInt(int_steps=3), voxelmorph.layers.VecInt(int_steps=3), velocity)


# === drop-in subclasses ===


@pytest.mark.tensorflow
@pytest.mark.parametrize("ours, theirs", [(SpatialTransformer, "SpatialTransformer"), (VecInt, "VecInt")])
def test_they_are_subclasses_that_take_voxelmorphs_arguments(ours, theirs):
    theirs = getattr(voxelmorph.layers, theirs)
    assert issubclass(ours, theirs)
    config = theirs().get_config()
    result = ours.from_config(config).get_config()
    assert {key: result[key] for key in config} == config
    assert list(inspect.signature(ours.__init__).parameters)[: len(arguments(theirs))] == arguments(theirs)


def test_an_image_of_labels_keeps_its_dtype_when_nearest_and_is_not_cut_down_when_linear():
    labels = np.full((1, *SMALL, 1), 20, "int32")
    shift = np.full((1, *SMALL, 3), 0.3, "float32")
    nearest, linear = (SpatialTransformer(method)([labels, shift]) for method in ("nearest", "linear"))
    assert dtype_of(nearest) == "int32" and np.all(np.array(nearest) == 20)
    np.testing.assert_allclose(linear, np.full((1, *SMALL, 1), 20.0), rtol=1e-6)


def test_a_constant_image_gets_no_gradient_and_the_transform_the_same():
    image, matrix = noise((2, *SMALL, 1)), affines(3)
    _, (_, expected) = gradients(lambda i, t: SpatialTransformer()([i, t]), image, matrix)
    _, (none, result) = gradients(lambda i, t: SpatialTransformer(constant_image=True)([i, t]), image, matrix)
    assert is_no_gradient(none)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)


def test_ode_uses_the_given_integrator():
    def euler(fn, start, times, steps):
        u, (begin, end) = start, (float(t) for t in times)
        for _ in range(steps):
            u = u + (end - begin) / steps * fn(u, None)
        return [start, u]

    velocity = smooth_field(SMALL, 0.5)
    options = {"method": "ode", "odeint_fn": euler, "ode_args": {"steps": 16}}
    exact = np.array(VecInt(int_steps=10)(velocity))
    np.testing.assert_allclose(VecInt(**options)(velocity), exact, atol=0.02)
    half = np.array(VecInt(out_time_pt=0.5, **options)(velocity))
    np.testing.assert_allclose(half, VecInt(int_steps=10)(velocity / 2), atol=0.02)


# === habits of a layer ===


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("options", [{}, {"interp_method": "nearest", "fill_value": 0.0}, {"single_transform": True}])
def test_spatial_transformer_is_a_good_layer(options, rank):
    shape = SMALL[:rank]
    image = noise((2, *shape, 2))
    check_layer(lambda: SpatialTransformer(**options), [image, noise((2, *shape, rank), 2.0, 1)], field=True)
    check_layer(lambda: SpatialTransformer(**options), [image, affines(rank)], field=True)


def test_integration_is_a_good_layer():
    check_layer(lambda: VecInt(int_steps=4), smooth_field(SMALL, 2.0, batch=2), field=True)
    check_layer(lambda: VecInt("xy", "quadrature", 3), smooth_field((12, 9), 2.0, batch=2), field=True)


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_a_model_with_both_is_saved_and_loaded(tmp_path, ending):
    image, velocity = keras.Input((*SMALL, 1)), keras.Input((*SMALL, 3))
    displacement = VecInt(int_steps=3)(velocity)
    moved = SpatialTransformer(fill_value=0.25, indexing="xy")([image, displacement])
    model = keras.Model([image, velocity], [moved, displacement])
    path = tmp_path / f"model.{ending}"
    model.save(path)
    again = keras.models.load_model(path, compile=False)
    inputs = [noise((2, *SMALL, 1)), noise((2, *SMALL, 3))]
    for got, want in zip(again(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.tensorflow
def test_gradients_flow_inside_a_compiled_training_step(tf):
    image, fixed = noise((1, *SMALL, 1)), noise((1, *SMALL, 1), seed=1)
    velocity = tf.Variable(noise((1, *SMALL, 3), 0.1, seed=2))
    warp, integrate = SpatialTransformer(), VecInt()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(warp([image, integrate(velocity)]) - fixed))
        velocity.assign_sub(20.0 * tape.gradient(loss, velocity))
        return loss

    losses = [float(step()) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.97 * losses[0]


# === refusals ===


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SpatialTransformer(interp_method="cubic"), "interp_method must be 'linear' or 'nearest', got 'cubic'"),
        (lambda: SpatialTransformer(indexing="ji"), "indexing must be 'ij' .* got 'ji'"),
        (lambda: VecInt(indexing="yx"), "indexing must be 'ij' .* got 'yx'"),
        (lambda: VecInt(method="euler"), "got 'euler'"),
        (lambda: VecInt(int_steps=-1), "int_steps is too small for 'ss': -1"),
        (lambda: VecInt(method="quadrature", int_steps=0), "int_steps is too small for 'quadrature': 0"),
        (lambda: VecInt(method="ode"), "needs odeint_fn"),
        (lambda: SpatialTransformer()([noise((1, *SMALL, 1)), noise((1, 2, 3))]), r"\[B, 3, 4\], got \(1, 2, 3\)"),
        (lambda: SpatialTransformer()([noise((1, *SMALL, 1)), noise((1, *SMALL, 2))]), "must end in 3 components"),
        (lambda: SpatialTransformer()([noise((2, *SMALL, 1)), noise((1, *SMALL, 3))]), "one batch size, got 2 and 1"),
        (lambda: VecInt()(noise((1, *SMALL, 2))), "N spatial axes"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value_and_the_rule(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# === both at once ===


@pytest.mark.parametrize("shape", [(12, 9), SMALL], ids=["2-D", "3-D"])
def test_joint_transformer_samples_once_through_phi_and_the_affine(shape):
    image, phi = noise((2, *shape, 2)), smooth_field(shape, 1.5, batch=2)
    matrix = affines(len(shape), scale=0.05)
    layer = check_layer(JointTransformer, [image, matrix, phi], field=True)
    expected = fields.warp(image, after_displacement(matrix, phi))
    np.testing.assert_allclose(layer([image, matrix, phi]), expected, atol=1e-4)
    _, result = gradients(lambda *t: layer(list(t)), image, matrix, phi)
    assert is_no_gradient(result[0]) and np.any(result[1]) and np.any(result[2])


def test_joint_transformer_is_the_two_transformers_where_those_blur_nothing():
    """Whole-voxel shifts: sampling twice is sampling once."""
    image, matrix = noise((1, *SMALL, 1)), np.eye(3, 4, dtype="float32")[None]
    matrix[0, :, 3] = [1, 0, -1]
    phi = np.full((1, *SMALL, 3), [0, 2, 1], "float32")
    twice = SpatialTransformer()([SpatialTransformer()([image, matrix]), phi])
    middle = (slice(None), *[slice(2, -2)] * 3)
    np.testing.assert_allclose(JointTransformer()([image, matrix, phi])[middle], np.array(twice)[middle], atol=1e-5)
