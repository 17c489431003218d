"""What is measured of a spine's transform: each level beside its own transform, overlap, folds and the inverse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.geometry import Grid, resample_label
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.registration.inverse_error import places_around
from acsgreg_tf.spine.blending import Blend
from acsgreg_tf.spine.level import LevelResult

__all__ = ["measure"]

# Places at which the inverse is measured, at most; drawn at random where there are more.
MOST_PLACES = 1_000_000


def measure(blend: Blend, levels: Sequence[LevelResult]) -> dict[str, Any]:
    """The measures of a spine's transform.

    Returns:
        levels: {level: {"dice", "assd_mm", each {"own", "spine"}: the moved label on the fixed one through the level's
        own transform and through the spine's, on the vertebra's 1 mm grid; "difference_mm", "difference_max_mm": how
        far the two transforms take a voxel of the fixed vertebra apart, on average and at most}}; overlap_ml {"own",
        "spine"}: the volume that two or more moved vertebrae share; folds of the whole transform at 1 mm (count,
        percent, least determinant in mm3); inverse_error_mm, _p99_mm and _max_mm within 5 mm of the vertebrae.
    """
    own, together = _Pile(blend.grid), _Pile(blend.grid)
    by_level: dict[str, dict[str, Any]] = {}
    for number, level in enumerate(levels, 1):
        by_level[level.level] = _differences(blend, number, level)
        by_level[level.level] |= _overlaps(blend, number, level, own, together)
    return {
        "levels": by_level,
        "overlap_ml": {"own": own.shared_ml, "spine": together.shared_ml},
        "folds": _folds(blend),
        **_inverse_errors(blend),
    }


class _Pile:
    """How many moved masks lie on each voxel of a grid."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.count = grid, np.zeros(grid.shape, np.uint8)

    def add(self, mask: np.ndarray, grid: Grid, transform: Transform, start: np.ndarray, stop: np.ndarray) -> None:
        """Count a moving mask on its grid, through a transform, between two corners of the pile's grid, voxels."""
        inside = resample_label(mask, grid, self.grid.crop(start, stop), transform)
        self.count[tuple(map(slice, start, stop))] += inside

    @property
    def shared_ml(self) -> float:
        return float((self.count > 1).sum() * self.grid.spacing.prod() / 1000)


def _differences(blend: Blend, number: int, level: LevelResult) -> dict[str, float]:
    points = blend.grid.index_to_points(blend.region.voxels(number))
    apart = np.linalg.norm(blend.transform.apply(points) - level.transform.apply(points), axis=1)
    return {"difference_mm": float(apart.mean()), "difference_max_mm": float(apart.max())}


def _overlaps(
    blend: Blend, number: int, level: LevelResult, own: _Pile, together: _Pile
) -> dict[str, dict[str, float]]:
    fixed, alone = level.pair.fixed, level.scans[1].alone
    if fixed.label is None or alone is None:
        return {}
    mask, grid = alone.data > 0, alone.grid
    measures: dict[str, dict[str, float]] = {"dice": {}, "assd_mm": {}}
    whole, corners = blend.transform, blend.region.around(number)
    for name, transform, pile in (("own", level.transform, own), ("spine", whole, together)):
        moved = resample_label(mask, grid, fixed.grid, transform)
        measures["dice"][name] = metrics.dice(fixed.label, moved)
        measures["assd_mm"][name] = metrics.assd(fixed.label, moved, spacing=fixed.grid.spacing)
        pile.add(mask, grid, transform, *corners)
    return measures


def _folds(blend: Blend) -> dict[str, float]:
    """On the region's 1 mm grid, up to the rigid motion; beyond it there is the trend alone."""
    back = blend.transform.compose(blend.rigid.inverse())
    displacement = back.to_displacement(blend.grid).displacement / blend.grid.spacing.astype(np.float32)
    determinant = metrics.jacobian_determinant(displacement)
    count = int((determinant <= 0).sum()) + metrics.folds(blend.trend.deformation.phi).count
    return {"count": count, "percent": 100 * count / determinant.size, "least_determinant": float(determinant.min())}


def _inverse_errors(blend: Blend) -> dict[str, float]:
    places = places_around(blend.region.labels > 0)
    if len(places) > MOST_PLACES:
        places = np.random.default_rng(0).permutation(places)[:MOST_PLACES]
    points = blend.grid.index_to_points(places)
    misses = np.linalg.norm(blend.transform.inverse().apply(blend.transform.apply(points)) - points, axis=1)
    return {
        "inverse_error_mm": float(misses.mean()),
        "inverse_error_p99_mm": float(np.quantile(misses, 0.99)),
        "inverse_error_max_mm": float(misses.max()),
    }
