"""Tensor functions on keras.ops: sampling, fields, affine maps, attention. `backend` alone knows the backends."""

from typing import Any

# A tensor of whichever backend Keras runs on.
Tensor = Any

__all__ = ["Tensor"]
