"""One transform of a whole region from those of its vertebrae: fixed -> steps -> trend -> rigid -> moving."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from acsgreg_tf.fields.kernels import threads
from acsgreg_tf.geometry import Affine, Composite, DenseField, Grid, field_from_network
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.spine.bones import Bone, Region
from acsgreg_tf.spine.inverse import invertible_steps
from acsgreg_tf.spine.polyaffine import Trend, fit_trend, rigid_of_all
from acsgreg_tf.spine.steps import MOST_STEPS, Map, steps_of

__all__ = ["Blend", "blend"]


@dataclass(frozen=True, eq=False)
class Blend:
    """A transform of a whole spine, and what it is made of.

    Attributes:
        transform: Fixed RAS mm -> moving RAS mm; it has an inverse.
        region: The vertebrae and their surroundings in voxels of 1 mm.
        steps: Displacements on the region's grid, the first applied first, voxels; each is one-to-one.
        trend: The smooth flow of all poses.
        rigid: The one rigid motion that is left far from the spine.
    """

    transform: Composite
    region: Region
    steps: tuple[np.ndarray, ...]
    trend: Trend
    rigid: Affine

    @property
    def grid(self) -> Grid:
        """The steps' grid, 1 mm."""
        return self.region.grid


def blend(bones: Sequence[Bone]) -> Blend:
    """The transform that does to each vertebra what its own does, and goes smoothly from one to the next.

    The poses of the vertebrae are blended by a log-Euclidean polyaffine flow about one rigid motion
    (`spine.polyaffine`); what each vertebra's transform adds to that is a displacement made of steps (`spine.steps`).

    Args:
        bones: Head to foot, at least one.
    """
    affines, points = {bone.level: bone.affine for bone in bones}, {bone.level: bone.points for bone in bones}
    rigid = rigid_of_all(list(affines.values()), list(points.values()))
    back = Affine(np.linalg.inv(rigid.matrix))
    trend = fit_trend({level: Affine(back.matrix @ affine.matrix) for level, affine in affines.items()}, points)
    region = Region(bones)

    def goal_of(bone: Bone) -> Map:
        return lambda places: trend.undo(back.apply(bone.transform.apply(places)))

    def in_voxels(transform: Transform) -> Map:
        return lambda at: region.grid.points_to_index(transform.apply(region.grid.index_to_points(at)))

    flow = trend.transform
    with ThreadPoolExecutor(min(threads(), MOST_STEPS)) as pool:
        steps = steps_of(region, [goal_of(bone) for bone in bones], pool)
        then, then_back = in_voxels(flow), in_voxels(flow.inverse())
        steps, inverses = invertible_steps(steps, region.labels > 0, then, then_back, pool)
    return Blend(_composite(region.grid, steps, inverses, trend, rigid), region, tuple(steps), trend, rigid)


def _composite(
    grid: Grid, steps: Sequence[np.ndarray], inverses: Sequence[np.ndarray], trend: Trend, rigid: Affine
) -> Composite:
    fields: list[DenseField] = [
        field_from_network(step, grid, inverse)
        for step, inverse in zip(steps, inverses, strict=True)
        if step.any()  # of one vertebra alone the trend may be all
    ]
    return Composite([*fields, trend.transform, rigid])
