"""The helpers that compile: what is compiled when, and that a hand-written gradient is the one that is used."""

import keras
import numpy as np
import pytest
from keras import ops

from acsgreg_tf.ops.backend import WORTH_COMPILING, compiled, traced_once, with_gradient, without_gradients
from tests.helpers import is_no_gradient, slopes

LARGE_ENOUGH = np.ones((2, WORTH_COMPILING // 2), "float32")
TOO_SMALL = np.ones((2, WORTH_COMPILING // 2 - 1), "float32")


def counted():
    calls = []

    def scaled(values, *, factor):
        calls.append(factor)
        return values * factor

    return scaled, calls


@pytest.mark.tensorflow
def test_small_tensors_run_plainly_and_large_ones_are_traced_once(tf):
    function, calls = counted()
    fast = compiled(function)
    for _ in range(3):
        np.testing.assert_array_equal(fast(TOO_SMALL, factor=2.0), 2 * TOO_SMALL)
    assert len(calls) == 3
    for _ in range(3):
        np.testing.assert_array_equal(fast(tf.constant(LARGE_ENOUGH), factor=2.0), 2 * LARGE_ENOUGH)
    assert len(calls) == 4


@pytest.mark.tensorflow
def test_each_set_of_options_is_compiled_apart(tf):
    function, calls = counted()
    fast = compiled(function)
    for factor in (2.0, 3.0, 2.0):
        np.testing.assert_array_equal(fast(tf.constant(LARGE_ENOUGH), factor=factor), factor * LARGE_ENOUGH)
    assert calls == [2.0, 3.0]


@pytest.mark.parametrize("values", [TOO_SMALL, LARGE_ENOUGH], ids=["plain", "compiled"])
def test_the_hand_written_gradient_is_used(values):
    # A false gradient on purpose, 7 instead of 2, shows which one was taken.
    function = with_gradient(
        lambda x, y, *, factor: factor * x + y, lambda x, y, upstream, *, factor: (7.0 * upstream, None)
    )
    total, (by_x, by_y) = slopes(lambda x, y: ops.sum(function(x, y, factor=2.0)), values, np.zeros_like(values))
    assert total == 2 * values.size
    np.testing.assert_array_equal(by_x, np.full_like(values, 7.0))
    assert is_no_gradient(by_y)


@pytest.mark.parametrize("make", [compiled, traced_once, lambda function: with_gradient(function, None)])
def test_arrays_are_as_good_as_tensors(make):
    function = make(lambda x, y, *, factor: x * factor - y)
    for factor in (2.0, 3.0):
        np.testing.assert_array_equal(function(LARGE_ENOUGH, LARGE_ENOUGH, factor=factor), (factor - 1) * LARGE_ENOUGH)


@pytest.mark.trains
def test_without_gradients_the_value_is_the_same_and_bare():
    weight = keras.Variable(np.float32([2.0]))
    result = without_gradients(lambda x: x * weight)(ops.convert_to_tensor(TOO_SMALL))
    np.testing.assert_array_equal(result, 2 * TOO_SMALL)
    assert not getattr(result, "requires_grad", False)


@pytest.mark.tensorflow
def test_a_batch_of_unknown_size_can_be_compiled(tf):
    function = with_gradient(lambda x: x * x, lambda x, upstream: 2.0 * x * upstream)

    @tf.function(input_signature=[tf.TensorSpec((None, WORTH_COMPILING), tf.float32)])
    def square_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    for batch in (1, 3):
        value, gradient = square_and_gradient(np.full((batch, WORTH_COMPILING), 3.0, "float32"))
        assert value.shape == (batch, WORTH_COMPILING)
        assert np.all(value == 9.0) and np.all(gradient == 6.0)


@pytest.mark.tensorflow
def test_a_repeated_block_is_traced_once_whoever_calls_it(tf):
    function, calls = counted()
    block = traced_once(function)

    @tf.function
    def network(x):
        for _ in range(4):
            x = block(x, factor=2.0)
        return ops.sum(x)

    with tf.GradientTape() as tape:
        x = tf.constant([[1.0, 2.0]])
        tape.watch(x)
        total = network(x)
    assert float(total) == 16 * 3
    np.testing.assert_array_equal(tape.gradient(total, x), [[16.0, 16.0]])
    np.testing.assert_array_equal(block(np.float32([[1.0, 2.0]]), factor=2.0), [[2.0, 4.0]])
    assert calls == [2.0]


@pytest.mark.tensorflow
def test_xla_can_be_turned_off(tf, monkeypatch):
    def used(function):
        graph = tf.function(function).get_concrete_function(tf.constant(LARGE_ENOUGH)).graph
        definitions = graph.as_graph_def().library.function
        return any(definition.attr["_XlaMustCompile"].b for definition in definitions)

    fast = compiled(counted()[0])
    assert used(lambda x: fast(x, factor=2.0))
    monkeypatch.setenv("ACSGREG_XLA", "0")
    assert not used(lambda x: fast(x, factor=2.0))
    np.testing.assert_array_equal(fast(tf.constant(LARGE_ENOUGH), factor=2.0), 2 * LARGE_ENOUGH)
