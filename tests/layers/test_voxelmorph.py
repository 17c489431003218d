"""Importing the package leaves the rest of the process as it was, but for the two names that voxelmorph misses."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acsgreg_tf._import_hooks import supply_missing_names

ROOT = Path(__file__).resolve().parents[2]

WATCH = """
import inspect, json, warnings
import keras, numpy, tensorflow, tensorflow.keras.losses
from tensorflow.python.framework import config
# Loaded on demand by anything that looks at them, so looked at before.
import tensorflow.keras.backend, tensorflow.keras.datasets, tensorflow.keras.initializers, tensorflow.keras.layers
import tensorflow.keras.models, tensorflow.keras.utils
places = {
    "inspect": inspect, "keras": keras, "keras.losses": keras.losses, "keras.layers": keras.layers, "numpy": numpy,
    "tf.keras": tensorflow.keras, "tf.keras.losses": tensorflow.keras.losses,
    "tf.keras.layers": tensorflow.keras.layers, "tf.keras.backend": tensorflow.keras.backend,
}
def look():
    return {name: {k: id(v) for k, v in vars(place).items()} for name, place in places.items()}
def settings():
    return [keras.config.floatx(), keras.config.dtype_policy().name, keras.config.image_data_format(),
            tensorflow.executing_eagerly(), config.get_soft_device_placement(), str(warnings.filters)]
before, set_before = look(), settings()
import acsgreg_tf.layers._voxelmorph
after = look()
changed = {name: [k for k in {**before[name], **now} if before[name].get(k) != now.get(k)]
           for name, now in after.items()}
losses = tensorflow.keras.losses
print(json.dumps({
    "changed": changed,
    "settings": settings() == set_before,
    "argspec": inspect.getargspec(lambda a, b, c=1, *d, **e: 0),
    "squared": float(losses.mean_squared_error([1.0, 2.0], [1.0, 4.0])),
    "absolute": float(losses.mean_absolute_error([1.0, 2.0], [1.0, 4.0])),
}))
"""


def python(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.tensorflow
def test_importing_adds_the_two_missing_names_and_changes_nothing_else():
    result = json.loads(python(WATCH).splitlines()[-1])
    changed = result["changed"]
    assert set(changed.pop("inspect")) <= {"getargspec"}
    assert set(changed.pop("tf.keras.losses")) <= {"mean_absolute_error", "mean_squared_error"}
    assert not any(changed.values()), changed
    assert result["settings"]
    # The supplied names do what the old ones did.
    assert result["argspec"] == [["a", "b", "c"], "d", "e", [1]]
    assert result["squared"] == 2 and result["absolute"] == 1


@pytest.mark.tensorflow
def test_names_that_are_there_are_left_alone(monkeypatch, tf):
    mine = object()
    monkeypatch.setattr(inspect, "getargspec", mine, raising=False)
    monkeypatch.setattr(tf.keras.losses, "mean_squared_error", mine, raising=False)
    supply_missing_names()
    assert inspect.getargspec is mine and tf.keras.losses.mean_squared_error is mine
