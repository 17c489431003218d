"""Value and gradients of a pure function: known derivatives, whatever the values and constants."""

import logging

import numpy as np
import pytest
from keras import ops

from acsgreg_tf.ops.backend import value_and_gradients

pytestmark = pytest.mark.trains


def tensors(*values):
    return tuple(ops.convert_to_tensor(np.asarray(value, "float32")) for value in values)


def arrays(values):
    return [ops.convert_to_numpy(value) for value in values]


def test_value_extra_and_gradients_of_a_small_function_at_several_places():
    """sum(a x^2 + x y): 2 a x + y by x, x by y. The constants' tuple holds another."""
    traced = []

    def function(variables, constants):
        traced.append(1)
        x, y = variables
        a, (b, c) = constants
        value = ops.sum(a * ops.square(x) + x * y) + b * ops.sum(c)
        return value, ops.stack([value, 2.0 * value])

    differentiated = value_and_gradients(function)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, y, c = (rng.normal(size=(3, 2)).astype("float32") for _ in range(3))
        a, b = (np.float32(number) for number in rng.normal(size=2))
        constants = (*tensors(a), tensors(b, c))
        value, extra, gradients = differentiated(tensors(x, y), constants)
        expected = (a * x**2 + x * y).sum() + b * c.sum()
        assert float(value) == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(ops.convert_to_numpy(extra), [expected, 2 * expected], rtol=1e-4)
        by_x, by_y = arrays(gradients)
        np.testing.assert_allclose(by_x, 2 * a * x + y, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(by_y, x, rtol=1e-6)
    # Traced once for all three, or (PyTorch) run as it is; JAX may trace more than once, but not at each call.
    assert len(traced) in (1, 2, 3)


@pytest.mark.tensorflow
def test_another_shape_is_traced_apart_and_the_same_one_is_not(tf):
    traced = []

    def function(variables, constants):
        traced.append(variables[0].shape)
        return ops.sum(variables[0] * constants[0]), variables[0]

    differentiated = value_and_gradients(function)
    warned = []
    handler = logging.Handler()
    handler.emit = lambda record: warned.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    try:
        for size in (*range(2, 12), *range(2, 12)):
            (gradient,) = differentiated((np.ones(size, "float32"),), (np.full(size, size, "float32"),))[2]
            np.testing.assert_array_equal(gradient, np.full(size, size))
    finally:
        tf.get_logger().removeHandler(handler)
    assert len(traced) == 10
    assert not warned, "TensorFlow warns of a function that is traced for many shapes"


def test_a_gradient_written_by_hand_is_used():
    from acsgreg_tf.ops.backend import with_gradient

    tripled = with_gradient(lambda x: x * x, lambda x, upstream: 7.0 * upstream)  # false on purpose
    value, _, (gradient,) = value_and_gradients(lambda v, c: (ops.sum(tripled(v[0])), v[0]))(tensors([1.0, 2.0]), ())
    assert float(value) == 5
    np.testing.assert_array_equal(ops.convert_to_numpy(gradient), [7, 7])
