"""What the tests of the core share: random fields and images, derivatives, and the case every layer must pass."""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

# Above and below ops.compiled.WORTH_COMPILING (2**15 elements). Shapes are shared, since each new one costs XLA a
# second.
LARGE = (48, 48, 32)
SMALL = (10, 10, 8)


def noise(shape, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def smooth_field(shape, peak, sigma=2.0, batch=1, seed=0):
    """A random displacement [batch, *shape, N] that goes to zero at the border, its largest component `peak` voxels."""
    rank = len(shape)
    field = ndimage.gaussian_filter(noise((batch, *shape, rank), seed=seed), (0, *[sigma] * rank, 0))
    for axis, side in enumerate(shape, start=1):
        window = np.sin(np.pi * np.arange(side) / (side - 1)) ** 2
        field = field * np.expand_dims(window, [a for a in range(rank + 2) if a != axis])
    return (peak * field / np.abs(field).max()).astype("float32")


def ball(shape, radius, middle=None, soft=1.0):
    """A ball [1, *shape, 1] of value 1 with an edge about `soft` voxels wide, 0 outside."""
    middle = (np.array(shape) - 1) / 2 if middle is None else np.asarray(middle)
    distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - middle, axis=-1)
    return np.clip((radius - distance) / soft + 0.5, 0, 1)[None, ..., None].astype("float32")


def gradients(function, *tensors):
    """Value of `function(*tensors)` and the gradients of its sum of squares, as arrays."""
    tensors = [tf.convert_to_tensor(t) for t in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
        loss = tf.reduce_sum(tf.square(value))
    found = tape.gradient(loss, tensors)
    return value.numpy(), [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]


def directional_derivative(function, point, direction, step=1e-2):
    """d/dt function(point + t direction) at 0, by central differences; `function` gives one number."""
    ahead, behind = (float(function(point + sign * step * direction)) for sign in (1, -1))
    return (ahead - behind) / (2 * step)


@contextlib.contextmanager
def policy(name):
    """A global dtype policy, put back afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_layer(make, inputs, mixed=("mixed_float16", "mixed_bfloat16"), field=False):
    """The case that every layer must pass.

    Its config survives a round trip (and the rebuilt layer with the same weights gives the same); compute_output_shape
    and the symbolic output are what really comes out; inside a functional model, eagerly and in tf.function it gives
    the same; under a mixed policy it runs and gives finite values, and one that holds positions (`field`) gives those
    of float32.

    Args:
        make: callable without arguments that makes the layer.
        inputs: array or list of arrays, batch first.
    """
    single = not isinstance(inputs, list)
    layer = make()
    expected = [np.array(o) for o in as_list(layer(inputs))]

    # config
    config = layer.get_config()
    again = type(layer).from_config(config)
    again(inputs)  # builds it
    again.set_weights(layer.get_weights())
    assert again.get_config() == config
    for got, want in zip(as_list(again(inputs)), expected, strict=True):
        np.testing.assert_array_equal(np.array(got), want)

    # shapes, and the functional model
    arrays = [inputs] if single else inputs
    shapes = [a.shape for a in arrays]
    stated = layer.compute_output_shape(shapes[0] if single else shapes)
    stated = [stated] if isinstance(stated[0], (int, type(None))) else list(stated)
    assert [tuple(s) for s in stated] == [e.shape for e in expected]
    symbolic = [keras.Input(a.shape[1:], dtype=str(a.dtype)) for a in arrays]
    outputs = layer(symbolic[0] if single else symbolic)
    assert [tuple(o.shape[1:]) for o in as_list(outputs)] == [e.shape[1:] for e in expected]
    assert [o.dtype for o in as_list(outputs)] == [str(e.dtype) for e in expected]
    model = keras.Model(symbolic, outputs)
    for run in (model, tf.function(model)):
        for got, want in zip(as_list(run(arrays)), expected, strict=True):
            np.testing.assert_allclose(np.array(got), want, rtol=1e-5, atol=1e-5)

    # mixed precision
    for name in mixed:
        with policy(name):
            half = make()
            outputs = as_list(half(inputs))
            if half.get_weights():
                half.set_weights(layer.get_weights())
                outputs = as_list(half(inputs))
            assert all(str(w.dtype) == "float32" for w in half.weights), name
        for got, want in zip(outputs, expected, strict=True):
            if field:
                np.testing.assert_allclose(np.array(got), want, rtol=1e-5, atol=1e-5)
            else:
                assert np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(got, "float32"))).all(), name
                assert keras.backend.standardize_dtype(got.dtype) == name.removeprefix("mixed_")
    return layer
