"""What the tests of the core share: random fields and images, derivatives, and the case every layer must pass."""

import contextlib

import keras
import numpy as np
from keras import ops
from scipy import ndimage

BACKEND = keras.backend.backend()

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
    """Value of `function(*tensors)` and the gradients of its sum of squares, as arrays; see `is_no_gradient`."""
    kept = []

    def squared(*args):
        value = function(*args)
        kept.append(value)
        return ops.sum(ops.square(value))

    _, found = slopes(squared, *tensors)
    return ops.convert_to_numpy(function(*tensors) if BACKEND == "jax" else kept[0]), found


def slopes(function, *tensors):
    """The one number `function(*tensors)`, and its gradients as arrays; see `is_no_gradient`."""
    tensors = [ops.convert_to_tensor(t) for t in tensors]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = function(*tensors)
        found = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(total, tensors)]
    elif BACKEND == "jax":
        import jax

        total, found = jax.value_and_grad(function, argnums=tuple(range(len(tensors))))(*tensors)
    else:
        import torch

        with torch.enable_grad():
            tensors = [t.detach().clone().requires_grad_() for t in tensors]
            total = function(*tensors)
            found = torch.autograd.grad(total, tensors, allow_unused=True)
    return float(total), [None if g is None else ops.convert_to_numpy(g) for g in found]


def weight_slopes(network, inputs, loss):
    """Gradients of `loss(network(inputs))` by the network's trainable weights, as arrays or None."""
    weights = network.trainable_variables
    if BACKEND == "jax":
        others = [weight.value for weight in network.non_trainable_variables]

        def stateless(*values):
            return loss(network.stateless_call(values, others, inputs, training=True)[0])

        return slopes(stateless, *(weight.value for weight in weights))[1]
    if BACKEND == "torch":
        import torch

        with torch.enable_grad():
            total = loss(network(inputs, training=True))
            found = torch.autograd.grad(total, [weight.value for weight in weights], allow_unused=True)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = loss(network(inputs, training=True))
        found = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(total, weights)]
    return [None if g is None else ops.convert_to_numpy(g) for g in found]


def losses_of_steps(model, inputs, targets, steps):
    """The loss before each of some training steps of a compiled model on one batch."""
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(inputs, targets, return_dict=True)["loss"]))
    return losses


def is_no_gradient(gradient):
    """Whether no gradient came out: None, for which JAX has zeros."""
    return not np.any(gradient) if BACKEND == "jax" else gradient is None


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


def dtype_of(tensor):
    """Its dtype's name; PyTorch's own is no string."""
    return keras.backend.standardize_dtype(tensor.dtype)


def in_graph(function):
    """The function as the backend compiles it: a tf.function, jax.jit; PyTorch runs it as it is."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    return function


def check_layer(make, inputs, mixed=("mixed_float16", "mixed_bfloat16"), field=False):
    """The case that every layer must pass.

    Its config survives a round trip (and the rebuilt layer with the same weights gives the same); compute_output_shape
    and the symbolic output are what really comes out; inside a functional model, eagerly and compiled it gives
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
    assert [dtype_of(o) for o in as_list(outputs)] == [str(e.dtype) for e in expected]
    model = keras.Model(symbolic, outputs)
    for run in (model, in_graph(model)):
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
                assert dtype_of(got) == name.removeprefix("mixed_")
    return layer


def about_centre(shape):
    return np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2


def turned(angles):
    """Rotation (3, 3) by angles in degrees about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.deg2rad(angles)) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
