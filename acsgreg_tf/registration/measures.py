"""The moving vertebra at each stage of a registration, and the measures that a summary holds."""

from typing import Any

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.vertebra import Vertebra
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
    measures: dict[str, Any] = {
        "lncc": {stage: metrics.lncc(fixed.image, image) for stage, image in images.items()},
        "ncc": {stage: metrics.normalised_correlation(fixed.image, image) for stage, image in images.items()},
    }
    if labels is not None and fixed.label is not None:
        measures["dice"] = {stage: metrics.dice(fixed.label, label) for stage, label in labels.items()}
        measures["assd_mm"] = {
            stage: metrics.assd(fixed.label, label, spacing=spacing) for stage, label in labels.items()
        }
    folds = metrics.folds(deformation.phi)
    measures["folds"] = {"count": folds.count, "percent": folds.percent}
    misses = inverse_error(deformation, fixed.share > 0.5).misses * spacing.max()
    measures["inverse_error_mm"] = float(misses.mean())
    measures["inverse_error_p99_mm"] = float(np.quantile(misses, 0.99))
    measures["inverse_error_max_mm"] = float(misses.max())
    return measures
