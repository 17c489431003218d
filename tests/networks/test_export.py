"""Keras's exports of a network compute what it computes, without this package."""

import numpy as np
import pytest

from tests.networks.cases import make, outputs_of, pair, randomise

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

# TFLite's converter makes a Relu6 of whole numbers, which TFLite lacks, of indices cut to 0 to 6: no side of 8.
SHAPE = (24, 24, 24)


@pytest.fixture(scope="module")
def network():
    return randomise(make("acsgregnet", inshape=SHAPE, normalization="instance"))


def check(outputs, network):
    expected = outputs_of(network, pair(shape=SHAPE))
    assert outputs.keys() == expected.keys() and np.abs(expected["phi"]).max() > 0.01
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(outputs[name]), value, atol=2e-4, err_msg=name)


def test_a_saved_model(tf, network, tmp_path):
    network.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))  # its function does not hold its weights
    check(loaded.serve(pair(shape=SHAPE)), network)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tflite(tf, network, tmp_path, monkeypatch):
    monkeypatch.setenv("ACSGREG_XLA", "0")
    network.export(str(tmp_path / "network.tflite"), format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(tmp_path / "network.tflite"))
    check(interpreter.get_signature_runner()(**pair(shape=SHAPE)), network)
