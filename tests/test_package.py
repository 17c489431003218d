"""What `import acsgreg_tf` does and does not do, each case in one fresh interpreter."""

import os
import subprocess
import sys

import pytest


def python(code, **environment):
    """Run code in a fresh interpreter and return its standard output."""
    settings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_loads_no_backend_and_respects_a_users_onednn_setting():
    code = """
import os, sys
import acsgreg_tf
print([name for name in ("keras", "tensorflow", "matplotlib", "SimpleITK", "pandas") if name in sys.modules])
print(os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""
    unset = "import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None)"
    assert python(code, TF_ENABLE_ONEDNN_OPTS="0").split("\n")[:2] == ["[]", "0"]
    assert python(unset + code).split("\n")[:2] == ["[]", "1"]


def test_every_public_name_resolves_and_others_do_not():
    import acsgreg_tf

    for name in acsgreg_tf.__all__:
        assert getattr(acsgreg_tf, name) is not None and name in dir(acsgreg_tf)
    with pytest.raises(AttributeError, match="acsgreg_tf.*'nothing'"):
        _ = acsgreg_tf.nothing


@pytest.mark.slow
@pytest.mark.parametrize("order", ["import acsgreg_tf, keras", "import keras, acsgreg_tf"])
def test_keras_loads_the_networks_in_either_order_of_imports(order, tmp_path):
    from acsgreg_tf.networks import AffineNet

    net = AffineNet((8, 8, 8), features=(4, 4))
    for name in ("net.h5", "net.keras"):
        net.save(tmp_path / name)
    code = f"""
{order}
for name in ("net.h5", "net.keras"):
    print(type(keras.models.load_model({str(tmp_path)!r} + "/" + name)).__name__)
"""
    assert python(code).split()[-2:] == ["AffineNet", "AffineNet"]
