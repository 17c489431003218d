"""The one place where TensorFlow-only speed lives: XLA on pure tensor functions, with gradients written by hand.

XLA makes a warp several times faster on the CPU and a convolution several times slower, so it is applied here, function
by function, and never to a whole model. On the JAX and PyTorch backends both helpers hand the plain function back.
"""

import functools
import math

import keras

# Below this many elements in the first argument a compilation (0.3 to 1 s) never pays.
WORTH_COMPILING = 2**15


def _is_large(tensor):
    size = math.prod(side or 1 for side in tensor.shape)
    return size >= WORTH_COMPILING


def compiled(function):
    """Compile a pure function of tensors (positional) and static options (keywords) with XLA, on TensorFlow only.

    The tensors may have an unknown batch size; the other sides must be known. Small ones are not worth the compilation:
    they run the plain function, or inside a graph one graph function without XLA, so that repeated steps are traced
    once.
    """
    if keras.backend.backend() != "tensorflow":
        return function
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

    @functools.wraps(function)
    def call(*tensors, **options):
        large = _is_large(tensors[0])
        if not large and tf.executing_eagerly():
            return function(*tensors, **options)
        tensors = [tf.convert_to_tensor(t) for t in tensors]
        signature = tuple((tuple(t.shape), t.dtype) for t in tensors)
        return build(tuple(sorted(options.items())), signature, large)(*tensors)

    return call


def with_gradient(function, gradient):
    """Give `function(*tensors, **options)` a `gradient(*tensors, upstream, **options)` by hand, on TensorFlow only.

    Both are compiled apart, so that the backward pass recomputes the cheap intermediate values instead of storing them.
    The other backends differentiate the plain function themselves, so `gradient` must be its exact derivative.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    forward, backward = compiled(function), compiled(gradient)

    @functools.wraps(function)
    def call(*tensors, **options):
        @tf.custom_gradient
        def differentiable(*args):
            return forward(*args, **options), lambda upstream: backward(*args, upstream, **options)

        return differentiable(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def traced_once(function):
    """Make a pure function of tensors and static options one TensorFlow graph function, shared by all its callers.

    A block that a network repeats (36 transformer layers) is then traced and differentiated once, not once a layer. XLA
    is not used.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    @functools.cache
    def build(options):
        return tf.function(functools.partial(function, **dict(options)), autograph=False, reduce_retracing=False)

    @functools.wraps(function)
    def call(*tensors, **options):
        return build(tuple(sorted(options.items())))(*(tf.convert_to_tensor(t) for t in tensors))

    return call
