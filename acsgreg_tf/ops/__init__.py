"""Tensor functions on keras.ops: sampling, fields, affine maps, attention. `backend` alone knows the backends."""

from typing import Any

# Under this name Keras registers the classes of the package.
PACKAGE = "acsgreg_tf"

# A tensor of whichever backend Keras runs on.
Tensor = Any

__all__ = ["PACKAGE", "Tensor"]
