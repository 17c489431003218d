"""The one place that knows the backends: pure tensor functions compiled, with gradients written by hand.

On TensorFlow, XLA makes a warp several times faster on the CPU and a convolution several times slower, so it is applied here,
function by function, and never to a whole model. JAX is XLA throughout; here each function is compiled, so that layers called
outside a compiled model are not run one small operation after another. PyTorch runs the functions as they are.
"""

import functools
import math

import keras

# Below this many elements in the first argument a compilation (0.3 to 1 s) never pays.
WORTH_COMPILING = 2**15


def _is_large(tensor):
    size = math.prod(side or 1 for side in tensor.shape)
    return size >= WORTH_COMPILING


def _compiled_by_tensorflow(function):
    import tensorflow as tf

    @functools.cache
    def build(options, signature, xla):
        # One graph function for each set of shapes: left to itself, TensorFlow would after a second shape trace the
        # function again with sides, even ranks, unknown, which the functions take for static. A batch size that is
        # known stays known, which makes the XLA programs a sixth faster.
        return tf.function(
            functools.partial(function, **dict(options)),
            input_signature=[tf.TensorSpec(shape, dtype) for shape, dtype in signature],
            jit_compile=xla,
            autograph=False,
        )

    def call(*tensors, **options):
        large = _is_large(tensors[0])
        if not large and tf.executing_eagerly():
            return function(*tensors, **options)
        tensors = [tf.convert_to_tensor(t) for t in tensors]
        signature = tuple((tuple(t.shape), t.dtype) for t in tensors)
        return build(tuple(sorted(options.items())), signature, large)(*tensors)

    return call


def _differentiable_by_tensorflow(function, gradient):
    import tensorflow as tf

    forward, backward = _compiled_by_tensorflow(function), _compiled_by_tensorflow(gradient)

    def call(*tensors, **options):
        @tf.custom_gradient
        def differentiable(*args):
            return forward(*args, **options), lambda upstream: backward(*args, upstream, **options)

        return differentiable(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def _traced_once_by_tensorflow(function):
    import tensorflow as tf

    @functools.cache
    def build(options):
        return tf.function(functools.partial(function, **dict(options)), autograph=False, reduce_retracing=False)

    def call(*tensors, **options):
        return build(tuple(sorted(options.items())))(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def _compiled_by_jax(function):
    import jax

    @functools.cache
    def build(options):
        return jax.jit(functools.partial(function, **dict(options)))

    def call(*tensors, **options):
        found = build(tuple(sorted(options.items())))(*(keras.ops.convert_to_tensor(t) for t in tensors))
        return jax.lax.optimization_barrier(found)

    return call


def _differentiable_by_jax(function, gradient):
    import jax

    forward, backward = _compiled_by_jax(function), _compiled_by_jax(gradient)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def differentiable(options, *tensors):
        return forward(*tensors, **dict(options))

    def keep(options, *tensors):
        return differentiable(options, *tensors), tensors

    def pull(options, tensors, upstream):
        found = backward(*tensors, upstream, **dict(options))
        return tuple(found) if isinstance(found, (tuple, list)) else (found,)

    differentiable.defvjp(keep, pull)

    def call(*tensors, **options):
        return differentiable(tuple(sorted(options.items())), *(keras.ops.convert_to_tensor(t) for t in tensors))

    return call


def _plain(function):
    def call(*tensors, **options):
        return function(*(keras.ops.convert_to_tensor(t) for t in tensors), **options)

    return call


def _differentiable_by_torch(function, gradient):
    import torch

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx, options, *tensors):
            ctx.options = options
            ctx.save_for_backward(*tensors)
            return function(*tensors, **options)

        @staticmethod
        def backward(ctx, upstream):
            found = gradient(*ctx.saved_tensors, upstream, **ctx.options)
            return (None, *found) if isinstance(found, (tuple, list)) else (None, found)

    def call(*tensors, **options):
        return Differentiable.apply(options, *(keras.ops.convert_to_tensor(t) for t in tensors))

    return call


_COMPILED = {"tensorflow": _compiled_by_tensorflow, "jax": _compiled_by_jax}
_DIFFERENTIABLE = {"tensorflow": _differentiable_by_tensorflow, "jax": _differentiable_by_jax, "torch": _differentiable_by_torch}
_TRACED = {"tensorflow": _traced_once_by_tensorflow, "jax": _compiled_by_jax}


def compiled(function):
    return functools.wraps(function)(_COMPILED.get(keras.backend.backend(), _plain)(function))


def with_gradient(function, gradient):
    return functools.wraps(function)(_DIFFERENTIABLE[keras.backend.backend()](function, gradient))


def traced_once(function):
    return functools.wraps(function)(_TRACED.get(keras.backend.backend(), _plain)(function))
