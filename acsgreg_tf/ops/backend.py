"""The one place that knows the backends: pure tensor functions compiled, and gradients written by hand.

On TensorFlow, XLA makes a warp several times faster on the CPU and a convolution several times slower, so it is applied
here, function by function, and never to a whole model. JAX is XLA throughout: a function that is compiled here is one
program outside a compiled model too, rather than a hundred small ones. PyTorch runs the functions as they are.

The environment variable ACSGREG_XLA=0 turns XLA off on TensorFlow; it is read when a function is called for new shapes.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from acsgreg_tf.ops import Tensor

# Below this many elements in the first argument a compilation by TensorFlow (0.3 to 1 s) never pays.
WORTH_COMPILING = 2**15

# The backends that the package runs on, by Keras's name for them.
TITLES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def title() -> str:
    """Return the backend's own name: TensorFlow, JAX or PyTorch.

    Raises:
        NotImplementedError: Keras runs on another backend.
    """
    return _choose(**TITLES)


def is_tensorflow() -> bool:
    """Return whether Keras runs on TensorFlow."""
    return keras.backend.backend() == "tensorflow"


def jit_compile() -> bool | str:
    """Return the `jit_compile` of `Model.compile` that is fastest for this package's networks.

    On TensorFlow XLA makes the convolutions 8 times slower on a CPU; what gains from it is compiled inside the ops.
    """
    return False if is_tensorflow() else "auto"


def uses_xla() -> bool:
    """Return whether large functions are compiled by XLA on TensorFlow: yes, unless ACSGREG_XLA is 0."""
    return os.environ.get("ACSGREG_XLA", "1") != "0"


def gpu_count() -> int:
    """Return how many GPUs the backend sees."""
    return _choose(tensorflow=_tensorflow_gpus, jax=_jax_gpus, torch=_torch_gpus)()


def compiled(function: Callable) -> Callable:
    """Compile a pure function of tensors (positional) and static options (keywords); arrays are converted.

    On TensorFlow, the tensors may have an unknown batch size; the other sides must be known. Small ones are not worth
    the compilation: they run the plain function, or inside a graph one graph function without XLA, so that repeated
    steps are traced once.
    """
    make = _choose(tensorflow=_xla_where_large, jax=_jitted, torch=_converted, openvino=_converted)
    return functools.wraps(function)(make(function))


def with_gradient(function: Callable, gradient: Callable) -> Callable:
    """Attach `gradient(*tensors, upstream, **options)`, the exact derivative, to `function(*tensors, **options)`.

    Both are compiled apart, and the backward pass recomputes the cheap intermediate values instead of storing them.
    """
    make = _choose(
        tensorflow=_tensorflow_gradient, jax=_jax_gradient, torch=_torch_gradient, openvino=_without_gradient
    )
    return functools.wraps(function)(make(function, gradient))


def traced_once(function: Callable) -> Callable:
    """Make a pure function of tensors and static options one compiled function, shared by all its callers.

    A block that a network repeats (36 transformer layers) is then traced and differentiated once, not once a layer. On
    TensorFlow, XLA is not used.
    """
    make = _choose(tensorflow=_graph_function, jax=_jitted, torch=_converted, openvino=_converted)
    return functools.wraps(function)(make(function))


def in_turn(function: Callable) -> Callable:
    """Make `function(x, *weights, **options)` -> x one that takes stacks of weights [N, ...] and applies each in turn.

    On JAX it is one loop in the program, which XLA compiles once: on a GPU 36 layers one after the other take minutes.
    """
    make = _choose(tensorflow=_unrolled, jax=_scanned, torch=_unrolled, openvino=_unrolled)
    return functools.wraps(function)(make(function))


def without_gradients(function: Callable) -> Callable:
    """Return the function for inference: PyTorch would otherwise store what a backward pass needs, of every layer."""
    if keras.backend.backend() != "torch":
        return function
    import torch

    def call(*arguments: Any, **options: Any) -> Any:
        with torch.no_grad():
            return function(*arguments, **options)

    return call


def _choose(**by_backend: Any) -> Any:
    name = keras.backend.backend()
    if name not in by_backend:
        raise NotImplementedError(f"Keras backend {name!r}: must be one of {', '.join(by_backend)}")
    return by_backend[name]


def _static(options: dict) -> tuple:
    return tuple(sorted(options.items()))


def _converted(function: Callable) -> Callable:
    def call(*tensors: Tensor, **options: Any) -> Any:
        return function(*(ops.convert_to_tensor(t) for t in tensors), **options)

    return call


def _unrolled(function: Callable) -> Callable:
    def call(x: Tensor, *stacks: Tensor, **options: Any) -> Any:
        for weights in zip(*(ops.unstack(stack, num=stack.shape[0]) for stack in stacks), strict=True):
            x = function(x, *weights, **options)
        return x

    return call


def _without_gradient(function: Callable, gradient: Callable) -> Callable:
    """For OpenVINO, which infers only (`networks.openvino`)."""
    return _converted(function)


# === TensorFlow ===


def _is_large(tensor: Tensor) -> bool:
    size = math.prod(side or 1 for side in tensor.shape)
    return size >= WORTH_COMPILING


def _xla_where_large(function: Callable) -> Callable:
    import tensorflow as tf

    @functools.cache
    def build(options: tuple, signature: tuple, xla: bool) -> Callable:
        # One graph function for each set of shapes: by itself TensorFlow would relax sides, even ranks, to unknown
        # after a second shape, which the functions take for static. A known batch size makes XLA a sixth faster.
        return tf.function(
            functools.partial(function, **dict(options)),
            input_signature=[tf.TensorSpec(shape, dtype) for shape, dtype in signature],
            jit_compile=xla,
            autograph=False,
        )

    def call(*tensors: Tensor, **options: Any) -> Any:
        large = _is_large(tensors[0]) and uses_xla()
        if not large and tf.executing_eagerly():
            return function(*tensors, **options)
        tensors = tuple(tf.convert_to_tensor(t) for t in tensors)
        signature = tuple((tuple(t.shape), t.dtype) for t in tensors)
        return build(_static(options), signature, large)(*tensors)

    return call


def _tensorflow_gradient(function: Callable, gradient: Callable) -> Callable:
    import tensorflow as tf

    forward, backward = compiled(function), compiled(gradient)

    def call(*tensors: Tensor, **options: Any) -> Any:
        @tf.custom_gradient
        def differentiable(*args: Tensor) -> tuple:
            return forward(*args, **options), lambda upstream: backward(*args, upstream, **options)

        return differentiable(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def _graph_function(function: Callable) -> Callable:
    import tensorflow as tf

    @functools.cache
    def build(options: tuple) -> Callable:
        return tf.function(functools.partial(function, **dict(options)), autograph=False, reduce_retracing=False)

    def call(*tensors: Tensor, **options: Any) -> Any:
        return build(_static(options))(*(tf.convert_to_tensor(t) for t in tensors))

    return call


def _tensorflow_gpus() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


# === JAX ===


def _jitted(function: Callable) -> Callable:
    import jax

    @functools.cache
    def build(options: tuple) -> Callable:
        return jax.jit(functools.partial(function, **dict(options)))

    def call(*tensors: Tensor, **options: Any) -> Any:
        return build(_static(options))(*(ops.convert_to_tensor(t) for t in tensors))

    return call


def _scanned(function: Callable) -> Callable:
    import jax

    def every(x: Tensor, *stacks: Tensor, **options: Any) -> Any:
        return jax.lax.scan(lambda x, weights: (function(x, *weights, **options), None), x, stacks)[0]

    return _jitted(every)


def _jax_gradient(function: Callable, gradient: Callable) -> Callable:
    import jax

    forward, backward = compiled(function), compiled(gradient)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def differentiable(options: tuple, *tensors: Tensor) -> Any:
        return forward(*tensors, **dict(options))

    def store(options: tuple, *tensors: Tensor) -> tuple:
        return forward(*tensors, **dict(options)), tensors

    def pull(options: tuple, tensors: tuple, upstream: Tensor) -> tuple:
        return _as_tuple(backward(*tensors, upstream, **dict(options)))

    differentiable.defvjp(store, pull)

    def call(*tensors: Tensor, **options: Any) -> Any:
        return differentiable(_static(options), *(ops.convert_to_tensor(t) for t in tensors))

    return call


def _jax_gpus() -> int:
    import jax

    try:
        return len(jax.devices("gpu"))
    except RuntimeError:  # no such platform
        return 0


# === PyTorch ===


def _torch_gradient(function: Callable, gradient: Callable) -> Callable:
    import torch

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, options: dict, *tensors: Tensor) -> Any:
            ctx.options = options
            ctx.save_for_backward(*tensors)
            return function(*tensors, **options)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple:
            return None, *_as_tuple(gradient(*ctx.saved_tensors, upstream, **ctx.options))

    def call(*tensors: Tensor, **options: Any) -> Any:
        return Differentiable.apply(options, *(ops.convert_to_tensor(t) for t in tensors))

    return call


def _torch_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _as_tuple(gradients: Any) -> tuple:
    return tuple(gradients) if isinstance(gradients, (tuple, list)) else (gradients,)
