"""The one place that knows the backends: pure tensor functions compiled, and given gradients written by hand.

On TensorFlow, XLA makes a warp several times faster on the CPU and a convolution several times slower, so it is applied here,
function by function, and never to a whole model. JAX is XLA throughout: a function that is compiled here is one program
outside a compiled model too, rather than a hundred small ones. PyTorch runs the functions as they are.
"""

import functools
import math

import keras
from keras import ops

# Below this many elements in the first argument a compilation by TensorFlow (0.3 to 1 s) never pays.
WORTH_COMPILING = 2**15


def compiled(function):
    """Compile a pure function of tensors (positional) and static options (keywords); of arrays too, which are converted.

    On TensorFlow, the tensors may have an unknown batch size; the other sides must be known. Small ones are not worth the
    compilation: they run the plain function, or inside a graph one graph function without XLA, so that repeated steps are
    traced once.
    """
    make = {"tensorflow": _xla_where_large, "jax": _jitted, "torch": _converted}[keras.backend.backend()]
    return functools.wraps(function)(make(function))


def with_gradient(function, gradient):
    """Give `function(*tensors, **options)` a `gradient(*tensors, upstream, **options)` by hand, its exact derivative.

    Both are compiled apart, and the backward pass recomputes the cheap intermediate values instead of storing them.
    """
    make = {"tensorflow": _tensorflow_gradient, "jax": _jax_gradient, "torch": _torch_gradient}[keras.backend.backend()]
    return functools.wraps(function)(make(function, gradient))


def traced_once(function):
    """Make a pure function of tensors and static options one compiled function, shared by all its callers.

    A block that a network repeats (36 transformer layers) is then traced and differentiated once, not once a layer. On
    TensorFlow, XLA is not used.
    """
    make = {"tensorflow": _graph_function, "jax": _jitted, "torch": _converted}[keras.backend.backend()]
    return functools.wraps(function)(make(function))


def without_gradients(function):
    """The function for use alone: PyTorch else keeps what a backward pass would need, of every layer."""
    if keras.backend.backend() != "torch":
        return function
    import torch

    def call(*arguments, **options):
        with torch.no_grad():
            return function(*arguments, **options)

    return call


def _static(options):
    return tuple(sorted(options.items()))


def _converted(function):
    def call(*tensors, **options):
        return function(*(ops.convert_to_tensor(t) for t in tensors), **options)

    return call


# === TensorFlow ===


def _is_large(tensor):
    size = math.prod(side or 1 for side in tensor.shape)
    return size >= WORTH_COMPILING


def _xla_where_large(function):
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
        return build(_static(options), signature, large)(*tensors)

    return call


def _tensorflow_gradient(function, gradient):
    import tensorflow as tf

    forward, backward = compiled(function), compiled(gradient)

    def call(*tensors, **options):
        @tf.custom_gradient
        def differentiable(*args):
            return forward(*args, **options), lambda upstream: backward(*args, upstream, **options)

        return differentiable(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def _graph_function(function):
    import tensorflow as tf

    @functools.cache
    def build(options):
        return tf.function(functools.partial(function, **dict(options)), autograph=False, reduce_retracing=False)

    def call(*tensors, **options):
        return build(_static(options))(*(tf.convert_to_tensor(t) for t in tensors))

    return call


# === JAX ===


def _jitted(function):
    import jax

    @functools.cache
    def build(options):
        return jax.jit(functools.partial(function, **dict(options)))

    def call(*tensors, **options):
        return build(_static(options))(*(ops.convert_to_tensor(t) for t in tensors))

    return call


def _jax_gradient(function, gradient):
    import jax

    forward, backward = compiled(function), compiled(gradient)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def differentiable(options, *tensors):
        return forward(*tensors, **dict(options))

    def keep(options, *tensors):
        return forward(*tensors, **dict(options)), tensors

    def pull(options, tensors, upstream):
        return _as_tuple(backward(*tensors, upstream, **dict(options)))

    differentiable.defvjp(keep, pull)

    def call(*tensors, **options):
        return differentiable(_static(options), *(ops.convert_to_tensor(t) for t in tensors))

    return call


# === PyTorch ===


def _torch_gradient(function, gradient):
    import torch

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx, options, *tensors):
            ctx.options = options
            ctx.save_for_backward(*tensors)
            return function(*tensors, **options)

        @staticmethod
        def backward(ctx, upstream):
            return None, *_as_tuple(gradient(*ctx.saved_tensors, upstream, **ctx.options))

    def call(*tensors, **options):
        return Differentiable.apply(options, *(ops.convert_to_tensor(t) for t in tensors))

    return call


def _as_tuple(gradients):
    return tuple(gradients) if isinstance(gradients, (tuple, list)) else (gradients,)


def value_and_gradients(function):
    """Make `function(variables, constants) -> (value, extra)` return (value, extra, gradients of value by the variables).

    `variables` and `constants` are tuples of tensors (constants may hold tuples of them), `value` is a scalar, `extra` any
    tensor. Called again with the same shapes nothing is traced again.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def both(variables, constants):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                value, extra = function(variables, constants)
            return value, extra, tape.gradient(value, variables)

        @functools.cache
        def traced(signature):
            # One graph function for each set of shapes, and a partial of its own: TensorFlow counts the traces of a function's
            # code, and warns of many.
            return tf.function(functools.partial(both), autograph=False)

        def call(variables, constants):
            # An array would be traced as a constant, anew for each.
            tensors = tf.nest.map_structure(tf.convert_to_tensor, (tuple(variables), tuple(constants)))
            signature = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tf.nest.flatten(tensors))
            return traced(signature)(*tensors)

        return call
    if backend == "jax":
        import jax

        differentiated = jax.jit(jax.value_and_grad(function, has_aux=True))

        def call(variables, constants):
            (value, extra), gradients = differentiated(tuple(variables), tuple(constants))
            return value, extra, gradients

        return call
    if backend == "torch":
        import torch

        def call(variables, constants):
            variables = tuple(keras.ops.convert_to_tensor(v).detach().requires_grad_(True) for v in variables)
            with torch.enable_grad():
                value, extra = function(variables, tuple(constants))
            return value.detach(), extra.detach(), torch.autograd.grad(value, variables)

        return call
    raise NotImplementedError(f"no gradients on the Keras backend {backend!r}; use tensorflow, jax or torch")
