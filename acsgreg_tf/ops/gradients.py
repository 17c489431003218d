"""Gradients of a pure tensor function, for optimising outside of a Keras model, on every backend."""

import functools

import keras


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
