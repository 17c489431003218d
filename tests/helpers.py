"""What the tests of the core share: random fields and images, and derivatives on every backend."""

import contextlib

import keras
import numpy as np
from keras import ops
from scipy import ndimage
from scipy.spatial.transform import Rotation

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
    values = []

    def squared(*args):
        value = function(*args)
        values.append(value)
        return ops.sum(ops.square(value))

    _, result = slopes(squared, *tensors)
    return ops.convert_to_numpy(function(*tensors) if BACKEND == "jax" else values[0]), result


def slopes(function, *tensors):
    """The one number `function(*tensors)`, and its gradients as arrays; see `is_no_gradient`."""
    tensors = [ops.convert_to_tensor(t) for t in tensors]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = function(*tensors)
        result = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(total, tensors)]
    elif BACKEND == "jax":
        import jax

        total, result = jax.value_and_grad(function, argnums=tuple(range(len(tensors))))(*tensors)
    else:
        import torch

        with torch.enable_grad():
            tensors = [t.detach().clone().requires_grad_() for t in tensors]
            total = function(*tensors)
            result = torch.autograd.grad(total, tensors, allow_unused=True)
    return float(total), [None if g is None else ops.convert_to_numpy(g) for g in result]


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
            result = torch.autograd.grad(total, [weight.value for weight in weights], allow_unused=True)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = loss(network(inputs, training=True))
        result = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(total, weights)]
    return [None if g is None else ops.convert_to_numpy(g) for g in result]


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


def about_centre(shape):
    return np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2


def turned(angles):
    """Rotation (3, 3) by angles in degrees about x, then y, then z."""
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
