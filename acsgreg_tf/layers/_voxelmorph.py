"""The one place that imports voxelmorph, whose classes the spatial layers extend.

Where TensorFlow is not the backend, or is not installed, the spatial layers extend a plain Keras layer instead.
`acsgreg_tf._import_hooks` makes it importable under Keras 3.
"""

import importlib
from typing import Any

import keras

from acsgreg_tf.ops.backend import is_tensorflow

voxelmorph: Any = importlib.import_module("voxelmorph") if is_tensorflow() else None
SpatialTransformerBase: Any = voxelmorph.layers.SpatialTransformer if voxelmorph else keras.layers.Layer
VecIntBase: Any = voxelmorph.layers.VecInt if voxelmorph else keras.layers.Layer
