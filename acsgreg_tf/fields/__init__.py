"""Displacement and velocity fields as numpy arrays, compiled by numba: what a registration computes without Keras.

A displacement u is [X, Y, Z, 3] float32 in voxels of its own grid and pulls: out(x) = image(x + u(x)). `ops.fields`
holds the same operations for networks, on tensors with a batch axis; the tests hold the two against each other.
"""

from acsgreg_tf.fields.chain import through
from acsgreg_tf.fields.compose import approach, compose, integrate
from acsgreg_tf.fields.inverse import balance_inverse, correct_inverse
from acsgreg_tf.fields.labels import look_up_label
from acsgreg_tf.fields.resize import resize, resize_adjoint, spread_over
from acsgreg_tf.fields.sampling import displace, look_up, sample, warp, warp_affine, warp_jointly
from acsgreg_tf.fields.turn import turn

__all__ = [
    "approach",
    "balance_inverse",
    "compose",
    "correct_inverse",
    "displace",
    "integrate",
    "look_up",
    "look_up_label",
    "resize",
    "resize_adjoint",
    "sample",
    "spread_over",
    "through",
    "turn",
    "warp",
    "warp_affine",
    "warp_jointly",
]
