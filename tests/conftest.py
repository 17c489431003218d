"""Fixtures of all tests, and which tests another backend than TensorFlow leaves out; imports no backend itself."""

import os
import signal
import sys

import pytest

from tests import explore  # noqa: F401 (loads hypothesis's profile)

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


def pytest_collection_modifyitems(config, items):
    """Deselect what is marked `tensorflow` where Keras runs on another backend."""
    if BACKEND != "tensorflow":
        deselected = [item for item in items if item.get_closest_marker("tensorflow")]
        items[:] = [item for item in items if not item.get_closest_marker("tensorflow")]
        config.hook.pytest_deselected(items=deselected)


@pytest.fixture(autouse=True)
def seeded():
    """Seed Keras, so that new layers draw the same weights in every run."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "utils"):
        keras.utils.set_random_seed(0)


@pytest.fixture
def tf():
    """Return TensorFlow, for a test marked `tensorflow`."""
    import tensorflow

    return tensorflow


@pytest.fixture(autouse=True)
def no_gradients(request):
    """Switch PyTorch's gradients off, which numpy refuses to convert; a test marked `trains` needs them on."""
    if BACKEND != "torch" or request.node.get_closest_marker("trains"):
        yield
        return
    import torch

    with torch.no_grad():
        yield


@pytest.fixture
def ctrl_c():
    """Ctrl-C's signal is a KeyboardInterrupt in the main thread, also in a background job, which would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
