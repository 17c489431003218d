"""acsgreg_tf: joint affine and diffeomorphic registration of lumbar vertebrae in CT (ACSGRegNet).

    import acsgreg_tf
    result = acsgreg_tf.register("fixed.nii.gz", "moving.nii.gz", fixed_seg=..., moving_seg=..., level="L3")
    model = acsgreg_tf.networks.ACSGRegNet.from_preset("lumbar")  # or .load("run/best.h5")
    keras.models.load_model("models/acsgreg_lumbar.h5")

The import itself is light: Keras is loaded with the first thing that needs it.
"""

import importlib
import os
from typing import Any

from acsgreg_tf import _import_hooks
from acsgreg_tf.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Result", "geometry", "io", "layers", "losses", "metrics", "networks", "register", "training"]

# TensorFlow leaves oneDNN off on processors without AVX-512, where a 3-D convolution's gradient is then 8 times slower.
# It reads this once, when it is first imported; a user's own setting stands.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_FROM_REGISTRATION = ("register", "Result")
_MODULES = ("geometry", "io", "layers", "losses", "metrics", "networks", "training")

_import_hooks.install()


def __getattr__(name: str) -> Any:
    if name in _FROM_REGISTRATION:
        return getattr(importlib.import_module("acsgreg_tf.registration"), name)
    if name in _MODULES:
        return importlib.import_module(f"acsgreg_tf.{name}")
    raise AttributeError(f"module 'acsgreg_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
