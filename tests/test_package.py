"""What `import acsgreg_tf` does and does not do, each in a fresh interpreter."""

import os
import subprocess
import sys

import keras
import pytest

from acsgreg_tf import layers, losses, networks
from acsgreg_tf._import_hooks import CLASSES
from tests.helpers import BACKEND, SMALL


def python(code, **environment):
    settings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_light():
    heavy = ("keras", "tensorflow", "voxelmorph", "matplotlib", "pandas", "SimpleITK", "scipy", "nibabel")
    assert python(f"import acsgreg_tf, sys; print(*(name for name in {heavy} if name in sys.modules))") == []


def test_every_public_class_is_registered():
    assert sorted(CLASSES["layers"]) == sorted(layers.__all__)
    assert sorted(CLASSES["networks"]) == sorted(n for n in networks.__all__ if isinstance(getattr(networks, n), type))
    kinds = {kind.__name__ for kind in vars(losses).values() if isinstance(kind, type)}
    assert set(CLASSES["losses"]) == {name for name in kinds if issubclass(getattr(losses, name), keras.losses.Loss)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network and a plain model with this package's layers, as .h5 and .keras."""
    folder = tmp_path_factory.mktemp("models")
    network = networks.AffineNet((8, 8, 8), features=(4, 4))
    image, velocity = keras.Input((*SMALL, 1)), keras.Input((*SMALL, 3))
    own = keras.Model([image, velocity], layers.SpatialTransformer()([image, layers.VecInt(int_steps=2)(velocity)]))
    for ending in ("h5", "keras"):
        network.save(folder / f"AffineNet.{ending}")
        own.save(folder / f"Functional.{ending}")
    return folder


ORDERS = {
    "package first": "import acsgreg_tf, voxelmorph, keras",
    "Keras first": "import keras, acsgreg_tf, voxelmorph",
    "TensorFlow first": "import tensorflow, acsgreg_tf, keras, voxelmorph",
    "its layers first": "import acsgreg_tf.layers, voxelmorph, keras",
    "without voxelmorph": "import keras, acsgreg_tf",
}


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_keras_loads_the_networks_and_layers_in_any_order_of_imports(order, files):
    if BACKEND != "tensorflow":
        order = order.replace(", voxelmorph", "").replace("import tensorflow, ", "import ")
    code = f"""
{order}
from pathlib import Path
for path in sorted(Path({str(files)!r}).iterdir()):
    assert type(keras.models.load_model(path, compile=False)).__name__ == path.stem, path
print("loaded")
"""
    assert python(code)[-1] == "loaded"


def test_onednn_is_on_unless_the_user_sets_it():
    code = "import acsgreg_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert python(code, TF_ENABLE_ONEDNN_OPTS="0") == ["0"]
    assert python("import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None); " + code) == ["1"]


def test_public_names_resolve_and_unknown_ones_do_not():
    import acsgreg_tf

    assert all(hasattr(acsgreg_tf, name) for name in acsgreg_tf.__all__)
    assert not hasattr(acsgreg_tf, "nothing")
