"""Doubts about a registration: what went in is not what it should be, or what came out is not what is usual."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import TABLES, level_of
from acsgreg_tf.anatomy.plausibility import Flag, hu_flags, shape_flags
from acsgreg_tf.anatomy.vertebra import Vertebra
from acsgreg_tf.geometry import Pose, resample
from acsgreg_tf.geometry.distance import coarser
from acsgreg_tf.geometry.surface_affine import misfit
from acsgreg_tf.registration.measures import SeenOverlap
from acsgreg_tf.registration.options import Options
from acsgreg_tf.registration.prepare import VertebraPair
from acsgreg_tf.registration.scan import Scan

# Limits were set on people of the training shapes, docs/lab/doubts.md.
LEAST_DICE, MOST_ASSD_MM = 0.93, 0.7  # of a deformable registration
LEAST_LINEAR_DICE = 0.5
LEAST_SEEN = 0.5  # of either vertebra, on both sides
WORSE_BY = 0.002  # Dice
PLAUSIBLE_STRETCH = (0.65, 1.55)
MOST_DEGREES = 60.0
MOST_NETWORK_FOLDS = 5000
# Voxels of 4 mm, and the mean square in mm2 by which two surfaces on each other by a similarity miss: below it they lie
# right; where a flipped one misses by so much less, it is flipped.
COARSE, MISFIT, FLIPPED_SHARE = 4, 5.0, 0.75
FLIPS = {"upside down": (1, 1, -1), "front to back": (1, -1, 1), "upside down and front to back": (1, -1, -1)}


def flags_before(scans: tuple[Scan, Scan], pair: VertebraPair) -> list[Flag]:
    """Doubts about the two vertebrae, from their labels; none where an image shows its vertebra without one.

    Args:
        scans: Fixed and moving.
        pair: Their vertebrae.
    """
    with ThreadPoolExecutor(2) as pool:
        of_sides = list(pool.map(_side_flags, ("fixed", "moving"), scans, (pair.fixed, pair.moving)))
    return [*of_sides[0], *of_sides[1], *_level_flags(scans), *_orientation_flags(pair)]


def _side_flags(side: str, scan: Scan, vertebra: Vertebra) -> list[Flag]:
    if scan.label_map is None or vertebra.label is None:
        return []
    mask, name = vertebra.share > 0.5, f"{scan.label_map.name}: label {scan.number}"
    flags = [] if vertebra.cut else shape_flags(mask, side, name)
    if scan.image.data.min() < 0 or scan.image.data.max() > 1:
        values = resample(scan.image.data, scan.image.grid, vertebra.grid, fill=-1024)
        flags += hu_flags(values, mask, side, scan.image.name)
    return flags


def flags_after(
    measures: dict[str, Any], pose: Pose, options: Options, where_seen: SeenOverlap | None, cut: bool
) -> list[Flag]:
    """Doubts about what a registration reached.

    Args:
        measures: From `registration.measures.measure`, with the network's folds.
        pose: Of the affine.
        options: What was asked for.
        where_seen: The overlap where both are seen, if a vertebra is cut or hidden in part.
        cut: Whether a vertebra is not whole, so that the overlap where both are seen counts alone.
    """
    flags = []
    low, high = PLAUSIBLE_STRETCH
    if not low <= pose.stretches[0] <= pose.stretches[2] <= high:
        text = (
            f"the affine stretches by {pose.stretches[0]:.2f} to {pose.stretches[2]:.2f}; do the two belong together?"
        )
        flags.append(Flag("stretch", text))
    if pose.mirrors:
        flags.append(Flag("mirror", "the affine changes left and right over; do the two belong together?"))
    if pose.angle_deg > MOST_DEGREES:
        flags.append(Flag("rotation", f"the affine turns by {pose.angle_deg:.0f} degrees; are both headers right?"))
    if where_seen is not None and where_seen.share < LEAST_SEEN:
        text = f"only {100 * where_seen.share:.0f} % of one vertebra can be compared; the rest is cut off or hidden"
        flags.append(Flag("little_seen", text))
    if cut and where_seen is not None:
        flags += _dice_flags(where_seen.dice, options)
    elif "dice" in measures:
        flags += _dice_flags(measures["dice"], options)
        distance = measures["assd_mm"]["deformable"]
        if options.deforms and not distance <= MOST_ASSD_MM:
            text = f"the surfaces are {distance:.2f} mm apart on average, more than is usual ({MOST_ASSD_MM:g})"
            flags.append(Flag("far_surfaces", text))
    if measures["folds"].get("network", 0) > MOST_NETWORK_FOLDS:
        count = measures["folds"]["network"]
        flags.append(Flag("network_folds", f"the network's own field folds in {count} voxels; does it suit this pair?"))
    return flags


def _dice_flags(by_stage: Mapping[str, float], options: Options) -> list[Flag]:
    flags = []
    _, affine, dice = by_stage.values()
    if options.deforms and dice < affine - WORSE_BY:
        flags.append(Flag("worse_than_affine", f"Dice fell from {affine:.3f} after the affine to {dice:.3f}"))
    least = LEAST_DICE if options.deforms else LEAST_LINEAR_DICE
    if dice < least:
        flags.append(Flag("low_dice", f"Dice {dice:.3f} is below what is usual ({least:g})"))
    return flags


def _level_flags(scans: tuple[Scan, Scan]) -> list[Flag]:
    """Two different levels, where both numbers are lumbar ones of the same known table."""
    for table in TABLES.values():
        levels = [level_of(scan.number, table) for scan in scans]
        if all(levels) and levels[0] != levels[1] and all(str(level).startswith("L") for level in levels):
            return [
                Flag("levels", f"the fixed vertebra is {levels[0]} and the moving one {levels[1]} by their numbers")
            ]
    return []


def coarse_misfit(pair: VertebraPair, flip: tuple[int, int, int] = (1, 1, 1)) -> float | None:
    """The mean square, mm2, by which two surfaces miss when a similarity lays them on each other, at 4 mm.

    Args:
        pair: The two vertebrae.
        flip: -1 for each axis along which the moving one is flipped first.

    Returns:
        None where a side has no surface, is not seen whole, or is too small to be seen so coarsely.
    """
    fixed, moving = pair.distances
    if fixed is None or moving is None or pair.trust is not None or any(side % COARSE for side in fixed.shape):
        return None
    fixed, moving = (coarser(distance, COARSE) / COARSE for distance in (fixed, moving))
    if not ((fixed < 0).any() and (moving < 0).any()):
        return None
    flipped = np.ascontiguousarray(moving[tuple(slice(None, None, step) for step in flip)])
    return misfit(fixed, flipped, reach=10 / COARSE) * COARSE**2


def _orientation_flags(pair: VertebraPair) -> list[Flag]:
    """Whether the two lie better on each other with the moving one flipped, which headers that contradict do."""
    as_it_is = coarse_misfit(pair)
    if as_it_is is None or as_it_is < MISFIT:
        return []
    for text, flip in FLIPS.items():
        flipped = coarse_misfit(pair, flip)
        if flipped is not None and flipped < FLIPPED_SHARE * as_it_is:
            return [Flag("orientation", f"one vertebra seems to be {text} beside the other; are both headers right?")]
    return []
