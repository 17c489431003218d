"""The moving vertebra at each stage of a registration, and the measures that a summary holds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

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
