"""Settings that must stand before TensorFlow is first imported, and tests that are about TensorFlow alone; imports no backend."""

import os
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")

# The same examples in every run: a change is to blame for a failure, not the draw.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked `tensorflow` where Keras runs on another backend."""
    if BACKEND != "tensorflow":
        left_out = [item for item in items if item.get_closest_marker("tensorflow")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def seeded():
    """New layers draw the same weights in every run."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "utils"):
        keras.utils.set_random_seed(0)


@pytest.fixture
def tf():
    """TensorFlow, for a test marked `tensorflow`."""
    import tensorflow

    return tensorflow


@pytest.fixture(autouse=True)
def no_gradients(request):
    """PyTorch records gradients where weights come in, and numpy then refuses the values; a test marked `trains` wants them."""
    if BACKEND != "torch" or request.node.get_closest_marker("trains"):
        yield
        return
    import torch

    with torch.no_grad():
        yield
