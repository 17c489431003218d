"""The measures of one registration, as one flat row: the paper's, and those of its anatomy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.landmarks import landmark_errors, read_landmarks
from acsgreg_tf.anatomy.parts import PARTS, compare_parts, mean_of_parts, parts_of_vertebra
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.pairs import Pair, pair_labels
from acsgreg_tf.evaluation.written import written_folds
from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image, as_label
from acsgreg_tf.registration import STAGES

MEASURES = ("dice", "precision", "recall", "assd_mm", "hd95_mm")
# The moving label after the network's own affine, before that was fitted; other methods have none.
NETWORK_AFFINE = "network_affine"
PART_MEASURES = ("dice", "assd_mm", "centre_mm")

ANATOMY = (
    *(f"{m}_{part}" for part in (*PARTS, "parts", "parts_affine") for m in PART_MEASURES),
    *(f"tre_mm_{stage}" for stage in STAGES),
)

NUMBERS = (
    *(f"{m}_{s}" for s in STAGES for m in MEASURES),
    *(f"{m}_{NETWORK_AFFINE}" for m in ("dice", "assd_mm")),
    "folds_count",
    "folds_percent",
    "central_folds_count",
    "central_folds_percent",
    "folded_volume_percent",
    "std_log_jacobian",
    "network_folds_count",
    "network_folds_percent",
    "written_folds_count",
    "written_folds_percent",
    "inverse_folds_count",
    "inverse_folds_percent",
    "inverse_error_mm",
    "inverse_error_max_mm",
    "seconds",
    "seconds_cold",
    "memory_mb",
    *ANATOMY,
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made of one pair, on the fixed vertebra's grid.

    Attributes:
        fixed_label: (X, Y, Z) bool.
        spacing: Sides of a voxel, mm.
        labels: The moving label, (X, Y, Z) bool, at each of `registration.STAGES`, and at NETWORK_AFFINE where the
            method has such an affine; a stage that is not known is missing.
        displacement: (X, Y, Z, 3), phi, voxels, as far as it is not zero: it may reach beyond the vertebra's grid. None
            where there is nothing but a moved label.
        seconds: Time of the registration itself.
        inverse_error_mm: Mean distance by which the inverse misses; NaN where the method has no inverse.
        inverse_error_max_mm: The largest of them, likewise.
        network_folds_count: Folds of the network's own field, before they were removed; NaN for other methods.
        seconds_cold: From the start of the method's process to its first outcome; NaN unless it was measured
            (`evaluation.isolated`).
        memory_mb: The most memory that the process and its children held, likewise.
        notes: Warnings about the pair, a line each.
        box: The fixed vertebra's network grid, where `fixed_label` lies; None leaves out what is measured in the world.
        transforms: {stage: fixed RAS mm -> moving RAS mm}, likewise.
        inverse: The inverse of the last of them, moving RAS mm -> fixed RAS mm; None where there is none.
        moving_box: The moving vertebra's network grid, about which the inverse is looked at.
    """

    fixed_label: np.ndarray
    spacing: Sequence[float] | np.ndarray
    labels: dict[str, np.ndarray]
    displacement: np.ndarray | None
    seconds: float
    inverse_error_mm: float = float("nan")
    inverse_error_max_mm: float = float("nan")
    network_folds_count: float = float("nan")
    seconds_cold: float = float("nan")
    memory_mb: float = float("nan")
    notes: tuple[str, ...] = ()
    box: Grid | None = None
    transforms: dict[str, Transform] = field(default_factory=dict)
    inverse: Transform | None = None
    moving_box: Grid | None = None


def measure(outcome: Outcome, pair: Pair | None = None) -> dict[str, Any]:
    """The paper's measures of an outcome, and some that it lacks: a number for each of NUMBERS, NaN where it has none.

    Folds are counted by forward differences (the paper's convention) and by central ones; the folded volume is that of
    Liu et al. (IJCV 2024); written folds are those of the whole transform, past the box too (`evaluation.written`), and
    inverse folds those of its inverse about the moving box.

    Args:
        outcome: What was made of the pair.
        pair: Its row of a list of pairs, whose parts and landmarks are measured too.

    Raises:
        InputError: A file of parts or landmarks cannot be used.
    """
    row: dict[str, Any] = dict.fromkeys(NUMBERS, float("nan"))
    for stage, moved in outcome.labels.items():
        row |= {name: value for name, value in _overlap(outcome, moved, stage).items() if name in row}
    row |= _regularity(outcome)
    if outcome.box is not None and "deformable" in outcome.transforms:
        written = written_folds(outcome.transforms["deformable"], outcome.box)
        row |= {"written_folds_count": written.count, "written_folds_percent": written.percent}
    if outcome.moving_box is not None and outcome.inverse is not None:
        back = written_folds(outcome.inverse, outcome.moving_box)
        row |= {"inverse_folds_count": back.count, "inverse_folds_percent": back.percent}
    return row if pair is None else row | anatomy(pair, outcome.transforms)


def anatomy(pair: Pair, transforms: dict[str, Transform]) -> dict[str, float]:
    """The measures of a pair's parts and landmarks, as far as it has some: columns of ANATOMY.

    Args:
        pair: With the paths fixed_parts and moving_parts, fixed_points and moving_points, each "" where there is none.
        transforms: {stage: fixed RAS mm -> moving RAS mm}.

    Raises:
        InputError: A file cannot be used, or only one side has one.
    """
    row: dict[str, float] = {}
    for what in ("parts", "points"):
        if bool(pair.get(f"fixed_{what}")) != bool(pair.get(f"moving_{what}")):
            raise InputError(f"{pair['fixed']}, {pair['moving']}: {what} are needed on both sides, or on none")
    if pair.get("fixed_parts"):
        fixed_seg, moving_seg = pair_labels(pair)
        fixed = as_label(pair["fixed_parts"])
        moving = parts_of_vertebra(as_label(pair["moving_parts"]), moving_seg)
        if "deformable" in transforms:
            row |= part_columns(fixed, fixed_seg, moving, transforms["deformable"])
        if "affine" in transforms:
            values = part_columns(fixed, fixed_seg, moving, transforms["affine"])
            row |= {f"{name}_parts_affine": values[f"{name}_parts"] for name in PART_MEASURES}
    if pair.get("fixed_points"):
        points = read_landmarks(pair["fixed_points"], pair["moving_points"])
        for stage in transforms.keys() & set(STAGES):
            row[f"tre_mm_{stage}"] = float(landmark_errors(*points, transforms[stage]).mean())
    return row


def part_columns(fixed: Image, fixed_seg: Image, moving: Image, transform: Transform | None) -> dict[str, float]:
    """Columns of ANATOMY, each part's and their mean.

    Args:
        fixed: Map of parts, of the whole scan maybe.
        fixed_seg: Label map of the fixed vertebra alone.
        moving: The moving vertebra's parts alone.
        transform: Fixed RAS mm -> moving RAS mm; None for parts that were moved already.
    """
    measures = compare_parts(parts_of_vertebra(fixed, fixed_seg), moving, transform)
    named = {**measures, "parts": mean_of_parts(measures)}
    return {f"{name}_{part}": values[name] for part, values in named.items() for name in PART_MEASURES}


def _overlap(outcome: Outcome, moved: np.ndarray, stage: str) -> dict[str, float]:
    fixed = outcome.fixed_label
    distance = metrics.surface_distance(fixed, moved, spacing=outcome.spacing)
    return {
        f"dice_{stage}": metrics.dice(fixed, moved),
        f"precision_{stage}": metrics.precision(fixed, moved),
        f"recall_{stage}": metrics.recall(fixed, moved),
        f"assd_mm_{stage}": distance.assd,
        f"hd95_mm_{stage}": distance.hd95,
    }


def _regularity(outcome: Outcome) -> dict[str, float]:
    measured = ("inverse_error_mm", "inverse_error_max_mm", "seconds", "seconds_cold", "memory_mb")
    known = {name: getattr(outcome, name) for name in measured}
    if outcome.displacement is None:
        return known
    forward, central = (metrics.folds(outcome.displacement, scheme) for scheme in ("forward", "central"))
    cells = np.prod(np.subtract(outcome.fixed_label.shape, 1))
    return {
        "folds_count": forward.count,
        "folds_percent": forward.percent,
        "central_folds_count": central.count,
        "central_folds_percent": central.percent,
        "folded_volume_percent": metrics.non_diffeomorphic_volume(outcome.displacement).percent,
        "std_log_jacobian": metrics.std_log_jacobian(outcome.displacement),
        "network_folds_count": outcome.network_folds_count,
        "network_folds_percent": float(100 * outcome.network_folds_count / cells),
        **known,
    }
