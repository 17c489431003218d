"""What Dice a spine's one transform must lose where each bone's own transform counts alone round the bone.

    python benchmarks/spine_bound.py --fixed-seg a_seg.nii.gz --moving-seg b_seg.nii.gz --levels L1,L2,L3,L4,L5

A map that may tear: each other bone's own transform on its voxels and up to a distance outside, where that bone is the
nearest; the measured vertebra's own transform everywhere else. One smooth map that honours the same places loses no
less. Prints, by level and distance (mm between voxel centres), the Dice that is lost against the vertebra's own
transform, whose scans are those of `benchmarks/spine.py --whole-ct 512,512,300`.
"""

import argparse
import runpy
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.geometry import resample_label
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import Options, Selection, load_engine, select, shared_levels
from acsgreg_tf.spine import Bone
from acsgreg_tf.spine.bones import Region
from acsgreg_tf.spine.level import register_level

whole_ct = runpy.run_path(str(Path(__file__).with_name("spine.py")))["whole_ct"]

# 0.5 is the bones' voxels alone; 1 the voxels that touch them by a face; 1.5 those by an edge too.
REACHES = (0.5, 1.01, 1.5)


def losses(bones: Sequence[Bone], alone: Sequence[Image], number: int) -> dict[float, float]:
    """The Dice lost by distance, for the vertebra with a number in the bones' region, from 1 on.

    Args:
        bones: The fixed vertebrae with their transforms.
        alone: The moving label map of each, nothing else in it.
        number: Which one is measured.
    """
    bone, moving = bones[number - 1], alone[number - 1]
    region = Region(bones)
    at = np.rint(region.grid.points_to_index(bone.grid.points())).astype(int)
    labels = region.labels[tuple(np.moveaxis(np.clip(at, 0, np.subtract(region.labels.shape, 1)), -1, 0))]

    def moved(by: Bone) -> np.ndarray:
        return resample_label(moving.data > 0, moving.grid, bone.grid, by.transform)

    own, fixed = moved(bone), bone.share > 0.5
    distance = ndimage.distance_transform_edt(labels != number)
    torn = {reach: own.copy() for reach in REACHES}
    for other in range(1, len(bones) + 1):
        if other == number or not (labels == other).any():
            continue
        away, by_other = ndimage.distance_transform_edt(labels != other), moved(bones[other - 1])
        for reach, mask in torn.items():
            there = (away <= reach) & (labels != number) & (away < distance)
            mask[there] = by_other[there]
    whole = metrics.dice(fixed, own)
    return {reach: whole - metrics.dice(fixed, mask) for reach, mask in torn.items()}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("fixed", "moving"):
        parser.add_argument(f"--{side}-seg", required=True, help="its label map")
    parser.add_argument("--levels", default="all", help="default: all that both hold")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sides = [whole_ct(path, [512, 512, 300]) for path in (options.fixed_seg, options.moving_seg)]
    network, results = load_engine(None), []
    for level in shared_levels(options.levels, *sides, Selection()):
        results.append(register_level(level, select(*sides, Selection(level=level)), network, Options()))
    bones, alone = [result.bone for result in results], [result.scans[1].alone for result in results]
    for number, bone in enumerate(bones, 1):
        print(bone.level, ", ".join(f"{reach} mm: {loss:.4f}" for reach, loss in losses(bones, alone, number).items()))


if __name__ == "__main__":
    main()
