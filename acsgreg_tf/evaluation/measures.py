"""The paper's measures of one registration, as one flat row."""

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


def measure(result):
    """The paper's measures of one Result, and some it lacks, as a flat dict of NUMBERS.

    Folds are counted by forward differences (the paper's convention) and by central ones, the folded volume is Liu et
    al.'s (IJCV 2024). network_folds_count is what the network's own field had by forward differences (NaN for other methods).

    Args:
        result: a `registration.Result` of a pair with labels.
    """
    fixed, spacing = result.fixed.label, result.fixed.grid.spacing
    row = {}
    for stage in STAGES:
        moved = result.labels[stage]
        distance = metrics.surface_distance(fixed, moved, spacing=spacing)
        row |= {
            f"dice_{stage}": metrics.dice(fixed, moved),
            f"precision_{stage}": metrics.precision(fixed, moved),
            f"recall_{stage}": metrics.recall(fixed, moved),
            f"assd_mm_{stage}": distance.assd,
            f"hd95_mm_{stage}": distance.hd95,
        }
    forward, central = (metrics.folds(result.displacement, scheme) for scheme in ("forward", "central"))
    return row | {
        "folds_count": forward.count,
        "folds_percent": forward.percent,
        "central_folds_count": central.count,
        "central_folds_percent": central.percent,
        "folded_volume_percent": metrics.non_diffeomorphic_volume(result.displacement).percent,
        "std_log_jacobian": metrics.std_log_jacobian(result.displacement),
        "network_folds_count": result.summary["folds"].get("network", float("nan")),
        "inverse_error_mm": result.summary["inverse_error_mm"],
        "seconds": sum(result.summary["seconds"].get(stage, 0.0) for stage in ("registering", "refining")),
    }
