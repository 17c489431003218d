"""The moving vertebra at each stage of a registration, and the measures that a summary holds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.vertebra import Vertebra
from acsgreg_tf.fields.kernels import threads
from acsgreg_tf.geometry import affine_from_network, resample, resample_label
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.inverse_error import inverse_error
from acsgreg_tf.registration.prepare import VertebraPair
from acsgreg_tf.registration.result import STAGES
from acsgreg_tf.registration.trust import pulled

Volumes = dict[str, np.ndarray]


def stage_transforms(pair: VertebraPair, affine: Transform, whole: Transform) -> dict[str, Transform]:
    """The transform of each stage, fixed RAS mm -> moving RAS mm; the first lays the grids' centres on each other."""
    centred = affine_from_network(np.eye(3, 4), pair.fixed.grid, pair.moving.grid)
    return dict(zip(STAGES, (centred, affine, whole), strict=True))


def moving_at_stages(
    pair: VertebraPair, transforms: dict[str, Transform], label_map: Image | None
) -> tuple[Volumes, Volumes | None]:
    """The moving image, and its label where there is a label map, on the fixed vertebra's grid through each transform.

    Args:
        pair: The two vertebrae.
        transforms: By stage.
        label_map: The moving scan's; labels are sampled from it, not from the vertebra's own mask, so only once.

    Returns:
        (images by stage, boolean labels by stage or None), each (X, Y, Z).
    """
    fixed, moving = pair.fixed, pair.moving
    images = {stage: resample(moving.image, moving.grid, fixed.grid, t) for stage, t in transforms.items()}
    if label_map is None:
        return images, None
    mask = label_map.data == moving.number
    return images, {stage: resample_label(mask, label_map.grid, fixed.grid, t) for stage, t in transforms.items()}


class SeenOverlap(NamedTuple):
    """Overlap of two vertebrae where both are seen.

    Attributes:
        dice: By stage.
        share: How much of the two is seen on both sides: of the one that shows less of itself to the other.
    """

    dice: dict[str, float]
    share: float


def overlap_where_seen(pair: VertebraPair, labels: Volumes | None, deformation: Deformation) -> SeenOverlap | None:
    """The overlap but for what a scan's edge cuts off, or a mask hides, on either side.

    Args:
        pair: The two vertebrae.
        labels: From `moving_at_stages`.
        deformation: The estimate.

    Returns:
        None where both are seen whole, or show no label.
    """
    if labels is None or pair.fixed.label is None or all(seen is None for seen in pair.seen):
        return None
    fixed_seen, moving_seen = pair.seen
    region = np.ones(pair.fixed.label.shape, bool) if fixed_seen is None else fixed_seen
    if moving_seen is not None:
        region = region & (pulled(moving_seen.astype(np.float32), deformation) > 0.5)
    target = pair.fixed.label & region
    dice = {stage: metrics.dice(target, label & region) for stage, label in labels.items()}
    moved = labels[STAGES[-1]]
    shares = [float((mask & region).sum() / max(mask.sum(), 1)) for mask in (pair.fixed.label, moved)]
    return SeenOverlap(dice, min(shares))


def measure(fixed: Vertebra, images: Volumes, labels: Volumes | None, deformation: Deformation) -> dict[str, Any]:
    """Similarity, overlap, folds and the inverse's error of a registration; `pipeline.register` says what each is.

    Args:
        fixed: The target.
        images: The moving image by stage, from `moving_at_stages`.
        labels: Its label likewise, or None.
        deformation: The estimate.
    """
    spacing = fixed.grid.spacing
    with ThreadPoolExecutor(threads()) as pool:

        def by_stage(measure: Callable[[Any, Any], float], target: Any, volumes: Volumes) -> dict[str, float]:
            return dict(zip(volumes, pool.map(partial(measure, target), volumes.values()), strict=True))

        measures: dict[str, Any] = {
            "lncc": by_stage(metrics.lncc, fixed.image, images),
            "ncc": by_stage(metrics.normalised_correlation, fixed.image, images),
        }
        if labels is not None and fixed.label is not None:
            measures["dice"] = by_stage(metrics.dice, fixed.label, labels)
            measures["assd_mm"] = by_stage(partial(metrics.assd, spacing=spacing), fixed.label, labels)
    folds = metrics.folds(deformation.phi)
    measures["folds"] = {"count": folds.count, "percent": folds.percent}
    misses = inverse_error(deformation, fixed.share > 0.5).misses * spacing.max()
    measures["inverse_error_mm"] = float(misses.mean())
    measures["inverse_error_p99_mm"] = float(np.quantile(misses, 0.99))
    measures["inverse_error_max_mm"] = float(misses.max())
    return measures
