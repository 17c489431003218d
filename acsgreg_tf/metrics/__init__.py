"""Measures of a registration, without Keras: similarity, overlap, surface distance, Jacobian, landmarks.

Label measures compare two volumes of one shape (X, Y, Z): `fixed`, the target, and `moved`, the moving label after
warping. Nonzero voxels are the object. Labels warped with linear interpolation have to be thresholded (at 0.5) first:
fractional values are refused. Where a measure is not defined, two empty labels give NaN and a single empty label the
worst value (0 for overlap, infinity for distances).

Regularity measures take a displacement (X, Y, Z, 3) in voxels, pull direction: phi(x) = x + u(x).
"""

from acsgreg_tf.metrics.correspondence import InverseConsistency, inverse_consistency_error, target_registration_error
from acsgreg_tf.metrics.jacobian import (
    FoldedVolume,
    Folds,
    folded_cells,
    folds,
    jacobian_determinant,
    non_diffeomorphic_volume,
    std_log_jacobian,
)
from acsgreg_tf.metrics.overlap import dice, precision, recall
from acsgreg_tf.metrics.similarity import lncc, normalised_correlation
from acsgreg_tf.metrics.surface import SurfaceDistance, assd, hd95, surface_distance, surface_distances

__all__ = [
    "FoldedVolume",
    "Folds",
    "InverseConsistency",
    "SurfaceDistance",
    "assd",
    "dice",
    "folded_cells",
    "folds",
    "hd95",
    "inverse_consistency_error",
    "jacobian_determinant",
    "lncc",
    "non_diffeomorphic_volume",
    "normalised_correlation",
    "precision",
    "recall",
    "std_log_jacobian",
    "surface_distance",
    "surface_distances",
    "target_registration_error",
]
