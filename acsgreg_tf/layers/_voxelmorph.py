"""The one place that imports voxelmorph, whose classes the spatial layers extend.

Where TensorFlow is not the backend, or is not installed, the spatial layers extend a plain Keras layer instead.
`acsgreg_tf._import_hooks` makes it importable under Keras 3.
"""

from typing import Any

import keras

from acsgreg_tf.ops.backend import is_tensorflow

voxelmorph: Any = None
SpatialTransformerBase: Any = keras.layers.Layer
VecIntBase: Any = keras.layers.Layer

if is_tensorflow():
    import voxelmorph

    SpatialTransformerBase = voxelmorph.layers.SpatialTransformer
    VecIntBase = voxelmorph.layers.VecInt
