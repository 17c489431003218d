"""What every layer and every network must do: config round trip, save and load, shapes, graphs, mixed precision."""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np

from tests.helpers import dtype_of, in_graph, policy

MIXED = ("mixed_float16", "mixed_bfloat16")


def as_list(value):
    """Outputs as a list, whatever their structure."""
    return keras.tree.flatten(value)


def arrays(value):
    return [keras.ops.convert_to_numpy(output) for output in as_list(value)]


def assert_same(value, expected, tolerance=0.0):
    for got, want in zip(arrays(value), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def as_json(config):
    """A config as a file holds it: a tuple is a list."""
    return json.dumps(config, default=str, sort_keys=True)


def check_saving(model, inputs, expected, load=keras.models.load_model, endings=("keras",)):
    """A saved model comes back with its class, config, weights and outputs."""
    with tempfile.TemporaryDirectory() as folder:
        for ending in endings:
            path = Path(folder) / f"model.{ending}"
            model.save(path)
            again = load(path)
            assert type(again) is type(model) and again.name == model.name
            assert as_json(again.get_config()) == as_json(model.get_config())
            for got, want in zip(again.weights, model.weights, strict=True):
                assert got.path == want.path
                np.testing.assert_array_equal(keras.ops.convert_to_numpy(got), keras.ops.convert_to_numpy(want))
            assert_same(again(inputs), expected)


def check_layer(make, inputs, mixed=MIXED, field=False):
    """The case that every layer must pass.

    - Its config survives a round trip, and the rebuilt layer with the same weights returns the same.
    - compute_output_shape and the symbolic output are what really comes out.
    - A functional model of it returns the same, eagerly, compiled, and saved and loaded.
    - Under a mixed policy it returns finite values; a layer of positions (`field`) returns those of float32.

    Args:
        make: callable without arguments that makes the layer.
        inputs: array or list of arrays, batch first.
        mixed: the policies to try.
        field: whether the layer computes in float32 under any policy.
    """
    single = not isinstance(inputs, list)
    layer = make()
    expected = arrays(layer(inputs))

    # config
    config = layer.get_config()
    again = type(layer).from_config(config)
    again(inputs)  # builds it
    again.set_weights(layer.get_weights())
    assert again.get_config() == config
    assert_same(again(inputs), expected)

    # shapes, and the functional model
    given = [inputs] if single else inputs
    stated = layer.compute_output_shape(given[0].shape if single else [array.shape for array in given])
    stated = [stated] if isinstance(stated[0], (int, type(None))) else list(stated)
    assert [tuple(shape) for shape in stated] == [value.shape for value in expected]
    symbolic = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in given]
    outputs = layer(symbolic[0] if single else symbolic)
    assert [tuple(output.shape[1:]) for output in as_list(outputs)] == [value.shape[1:] for value in expected]
    assert [dtype_of(output) for output in as_list(outputs)] == [str(value.dtype) for value in expected]
    model = keras.Model(symbolic, outputs)
    for run in (model, in_graph(model)):
        assert_same(run(given), expected, 1e-5)
    check_saving(model, given, arrays(model(given)))

    # mixed precision
    for name in mixed:
        with policy(name):
            half = make()
            half(inputs)  # builds it
            half.set_weights(layer.get_weights())
            outputs = as_list(half(inputs))
        assert all(weight.dtype == "float32" for weight in half.weights), name
        if field:
            assert_same(outputs, expected, 1e-5)
        else:
            assert {dtype_of(output) for output in outputs} == {name.removeprefix("mixed_")}
            assert all(np.isfinite(v).all() for v in arrays([keras.ops.cast(o, "float32") for o in outputs])), name
    return layer


def check_network(make, prepare, inputs, load, mixed=MIXED):
    """The case that every network must pass.

    - Its config survives a round trip: same class, name, and paths and shapes of weights.
    - It is saved to .h5 and .keras, and both `load` and Keras read it back unchanged.
    - Under a mixed policy some layers compute in half precision; weights and outputs are finite float32.

    Args:
        make: callable with options of the constructor that makes the network.
        prepare: gives a network weights that are not those of its start, and returns it.
        inputs: of the network.
        load: reads a file of the network's class.
        mixed: the policies to try.
    """
    network = prepare(make(name="mine"))
    expected = arrays(network(inputs))
    config = network.get_config()
    again = type(network).from_config(config)
    assert again.get_config() == config and again.name == "mine"
    assert [(w.path, w.shape) for w in again.weights] == [(w.path, w.shape) for w in network.weights]

    for reader in (load, lambda path: keras.models.load_model(path, compile=False)):
        check_saving(network, inputs, expected, reader, ("h5", "keras"))

    for name in mixed:
        with policy(name):
            half = make()
            outputs = half(inputs)
        assert any(layer.compute_dtype != "float32" for layer in half.layers)
        assert {dtype_of(output) for output in as_list(outputs)} == {"float32"}, name
        assert all(np.isfinite(value).all() for value in arrays(outputs)), name
        assert {weight.dtype for weight in half.trainable_weights} == {"float32"}, name
