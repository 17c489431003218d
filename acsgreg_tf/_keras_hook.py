"""Makes `keras.models.load_model` know this package's networks as soon as Keras and the package are both imported.

Keras takes seconds to import and tools such as warp.py do without it, so the package does not import it. Where Keras is there
already, the networks' names are registered at once, else right after the first `import keras`. What is registered is a
stand-in that imports the network when a file asks for it: Keras may well be imported from inside this package's own modules.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys

NETWORKS = ("ACSGRegNet", "AVoxelMorph", "AffineNet")


class _StandIn:
    """Has what Keras asks of a registered class when it reads a model: `from_config`."""

    def __init__(self, name):
        self.__name__ = name

    def from_config(self, config):
        return getattr(importlib.import_module("acsgreg_tf.networks"), self.__name__).from_config(config)


def _register(keras):
    known = keras.saving.get_custom_objects()
    for name in NETWORKS:
        # An .h5 holds the plain name, a .keras file the one with the package.
        for key in (name, f"acsgreg_tf>{name}"):
            known.setdefault(key, _StandIn(name))


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds `keras` as the usual finder does, and registers once it has run. It leaves the import path at its first use."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module):
                run(module)
                _register(module)

            spec.loader.exec_module = run_and_register
        return spec


def install():
    """Register the networks now if Keras is imported, else when it will be."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _register(keras)
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())
