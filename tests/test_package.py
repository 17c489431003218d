"""What `import acsgreg_tf` does and does not do, each in a fresh interpreter."""

import os
import subprocess
import sys

import pytest


def python(code, **environment):
    settings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_light():
    code = "import acsgreg_tf, sys; print('keras' in sys.modules, 'tensorflow' in sys.modules)"
    assert python(code) == ["False", "False"]


@pytest.mark.parametrize("order", ["import acsgreg_tf, keras", "import keras, acsgreg_tf"])
def test_keras_loads_the_networks_in_either_order(order, tmp_path):
    code = f"""
from acsgreg_tf.networks import AffineNet
net = AffineNet((8, 8, 8), features=(4, 4))
net.save({str(tmp_path / "net.h5")!r}); net.save({str(tmp_path / "net.keras")!r})
"""
    python(code)
    for name in ("net.h5", "net.keras"):
        code = f"{order}\nprint(type(keras.models.load_model({str(tmp_path / name)!r})).__name__)"
        assert python(code)[-1] == "AffineNet"


def test_onednn_is_on_unless_a_user_says_otherwise():
    code = "import acsgreg_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert python(code, TF_ENABLE_ONEDNN_OPTS="0") == ["0"]
    assert python("import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None); " + code) == ["1"]


def test_public_names_resolve_and_unknown_ones_do_not():
    code = (
        "import acsgreg_tf\n"
        "print(all(hasattr(acsgreg_tf, name) for name in acsgreg_tf.__all__), hasattr(acsgreg_tf, 'nothing'))"
    )
    assert python(code)[-2:] == ["True", "False"]
