"""What happens when Keras, neurite or voxelmorph is imported after `import acsgreg_tf`, in whatever order.

Keras takes seconds to import and tools such as warp.py do without it, so the package imports neither Keras nor
voxelmorph itself. A finder at the front of `sys.meta_path` acts when other code imports them; neither Python nor Keras
has a simpler hook:

- After Keras has run, this package's classes are registered, so that `keras.models.load_model` knows them. What is
  registered is a stand-in that imports the class when a file asks for it: Keras may well be imported from inside the
  very module that defines the class.
- Before neurite or voxelmorph (their 0.2 line, written for Keras 2 and Python < 3.11) runs, names that they use and
  that are gone are supplied: `inspect.getargspec` and two functions of `tensorflow.keras.losses`.
"""

import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

# Public classes by module: those of `networks.__all__` and `layers.__all__`, and the losses.
CLASSES = {
    "networks": ("ACSGRegNet", "AVoxelMorph", "AffineNet", "AttentionFusionNet", "VelocityUNet"),
    "layers": (
        "AffineMatrix",
        "ConvBlock",
        "GatedFusion",
        "JointTransformer",
        "PositionEmbedding",
        "ResizeDisplacement",
        "SpatialTransformer",
        "SumOfHalves",
        "TransformerEncoder",
        "VecInt",
    ),
    "losses": ("Diffusion", "LNCC", "MeanSquaredDifference", "SoftDice", "SurfaceDistance"),
}


class _StandIn:
    """Stands for a class in Keras's registry; has `from_config`, the one method that reading a model calls."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.__name__ = name

    def from_config(self, config: dict) -> Any:
        return getattr(importlib.import_module(f"acsgreg_tf.{self.module}"), self.__name__).from_config(config)


def _register(keras: ModuleType) -> None:
    registry = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            registry.setdefault(f"acsgreg_tf>{name}", _StandIn(module, name))
            if module == "networks":  # which an .h5 names without the package
                registry.setdefault(name, _StandIn(module, name))


def _run_keras(run: Callable, module: ModuleType) -> None:
    run(module)
    _register(module)


def supply_missing_names() -> None:
    """Supply what voxelmorph 0.2 misses in newer Python and Keras; names that exist stay as they are."""
    if not hasattr(inspect, "getargspec"):
        # Callers unpack four values, as Python 2's argspec had.
        setattr(inspect, "getargspec", lambda function: inspect.getfullargspec(function)[:4])  # noqa: B010
    import keras
    import tensorflow.keras.losses as losses

    for name in ("mean_absolute_error", "mean_squared_error"):
        if not hasattr(losses, name):
            setattr(losses, name, getattr(keras.losses, name))


def _run_voxelmorph(run: Callable, module: ModuleType) -> None:
    supply_missing_names()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences and the like, not ours to mend
        run(module)


_RUN = {"keras": _run_keras, "neurite": _run_voxelmorph, "voxelmorph": _run_voxelmorph}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `_RUN` as the usual finder does, and runs them by the function there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _RUN:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            setattr(spec.loader, "exec_module", lambda module: _RUN[name](run, module))  # noqa: B010
        return spec


def install() -> None:
    """Register the package's classes now if Keras is imported, and put the finder in its place."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _register(keras)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
