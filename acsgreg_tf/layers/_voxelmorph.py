"""The one place that imports voxelmorph and neurite (their 0.2 line, written for Keras 2 and Python < 3.11).

Two names that they take for granted are gone: `inspect.getargspec` and two functions of `tensorflow.keras.losses`. Both are
supplied where they are missing, and nothing else in the process changes. Where TensorFlow is not the backend, or is not
installed, the spatial layers stand on a plain Keras layer instead.
"""

import inspect
import warnings

import keras


def _supply_missing_names():
    if not hasattr(inspect, "getargspec"):
        # Callers unpack four values, as Python 2's argspec had.
        inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]
    import tensorflow.keras.losses as losses

    for name in ("mean_absolute_error", "mean_squared_error"):
        if not hasattr(losses, name):
            setattr(losses, name, getattr(keras.losses, name))


def _import():
    _supply_missing_names()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences and the like, not ours to mend
        import neurite
        import voxelmorph
    return voxelmorph, neurite


if keras.backend.backend() == "tensorflow":
    voxelmorph, neurite = _import()
    SpatialTransformerBase = voxelmorph.layers.SpatialTransformer
    VecIntBase = voxelmorph.layers.VecInt
else:
    voxelmorph = neurite = None
    SpatialTransformerBase = VecIntBase = keras.layers.Layer
