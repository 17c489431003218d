"""The paper's measures of one registration, as one flat row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.registration import STAGES

MEASURES = ("dice", "precision", "recall", "assd_mm", "hd95_mm")

NUMBERS = (
    *(f"{m}_{s}" for s in STAGES for m in MEASURES),
    "folds_count",
    "folds_percent",
    "central_folds_count",
    "central_folds_percent",
    "folded_volume_percent",
    "std_log_jacobian",
    "network_folds_count",
    "inverse_error_mm",
    "seconds",
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made of one pair, on the fixed vertebra's grid.

    Attributes:
        fixed_label: (X, Y, Z) bool.
        spacing: Sides of a voxel, mm.
        labels: The moving label, (X, Y, Z) bool, at each of `registration.STAGES`.
        displacement: (X, Y, Z, 3), phi, voxels, as far as it is not zero: it may reach beyond the vertebra's grid.
        seconds: Time of the registration itself.
        inverse_error_mm: Mean distance by which the inverse misses; NaN where the method has no inverse.
        network_folds_count: Folds of the network's own field, before they were removed; NaN for other methods.
        notes: Warnings about the pair, a line each.
    """

    fixed_label: np.ndarray
    spacing: Sequence[float] | np.ndarray
    labels: dict[str, np.ndarray]
    displacement: np.ndarray
    seconds: float
    inverse_error_mm: float = float("nan")
    network_folds_count: float = float("nan")
    notes: tuple[str, ...] = ()


def measure(outcome: Outcome) -> dict[str, Any]:
    """The paper's measures of an outcome, and some that it lacks: a number for each of NUMBERS.

    Folds are counted by forward differences (the paper's convention) and by central ones; the folded volume is that of
    Liu et al. (IJCV 2024).
    """
    fixed, spacing = outcome.fixed_label, outcome.spacing
    row: dict[str, Any] = {}
    for stage in STAGES:
        moved = outcome.labels[stage]
        distance = metrics.surface_distance(fixed, moved, spacing=spacing)
        row |= {
            f"dice_{stage}": metrics.dice(fixed, moved),
            f"precision_{stage}": metrics.precision(fixed, moved),
            f"recall_{stage}": metrics.recall(fixed, moved),
            f"assd_mm_{stage}": distance.assd,
            f"hd95_mm_{stage}": distance.hd95,
        }
    forward, central = (metrics.folds(outcome.displacement, scheme) for scheme in ("forward", "central"))
    return row | {
        "folds_count": forward.count,
        "folds_percent": forward.percent,
        "central_folds_count": central.count,
        "central_folds_percent": central.percent,
        "folded_volume_percent": metrics.non_diffeomorphic_volume(outcome.displacement).percent,
        "std_log_jacobian": metrics.std_log_jacobian(outcome.displacement),
        "network_folds_count": outcome.network_folds_count,
        "inverse_error_mm": outcome.inverse_error_mm,
        "seconds": outcome.seconds,
    }
