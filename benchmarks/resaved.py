r"""How far a world transform moves when the moving scan is saved anew: other spacings, voxels in other places.

    python benchmarks/resaved.py --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz \
        --moving b_ct.nii.gz --moving-seg b_seg.nii.gz --label 22

The moving CT and label are made continuous first (a Gaussian of 0.8 mm, then cubic splines), so that every grid shows
the same vertebra: a binary label resampled to a shifted grid is itself moved by up to half a voxel. Distances are those
between the places to which two transforms send the voxels of the fixed vertebra, mm; the others are compared with the
first grid, 1 mm.
"""

import argparse

import numpy as np
from scipy import ndimage

from acsgreg_tf import register
from acsgreg_tf.anatomy.vertebra import pick_label
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration import load_engine

BLUR, MARGIN = 0.8, 10.0  # mm
# (spacing, shift of the first voxel) in mm.
GRIDS = (
    ((1, 1, 1), 0.0),
    ((1, 1, 1), (0.5, 0.3, 0.4)),
    ((0.75,) * 3, 0.0),
    ((0.8,) * 3, 0.1),
    ((1, 1, 1.5), 0.0),
    ((1.3, 0.9, 1.1), 0.0),
    ((0.5, 0.5, 2), 0.0),
)


def continuous(image, grid):
    """Cubic spline coefficients of a volume blurred by BLUR mm."""
    return ndimage.spline_filter(ndimage.gaussian_filter(np.asarray(image, float), BLUR / grid.spacing), 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fixed", "fixed-seg", "moving", "moving-seg"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--label", type=int, help="the vertebra's number; not needed where each map holds one")
    parser.add_argument("--model")
    parser.add_argument("--refine", type=int)
    parser.add_argument("--no-fit-affine", dest="fit_affine", action="store_false", help="the network's own affine")
    options = parser.parse_args()
    network = load_engine(options.model)
    fixed, fixed_seg = as_image(options.fixed), as_label(options.fixed_seg)
    moving, moving_seg = as_image(options.moving), as_label(options.moving_seg)
    number = pick_label(moving_seg, options.label)
    mask = moving_seg.data == number
    inside_points = moving_seg.grid.index_to_points(np.argwhere(mask))
    low, high = inside_points.min(axis=0) - MARGIN, inside_points.max(axis=0) + MARGIN
    ct, inside = continuous(moving.data, moving.grid), continuous(mask, moving_seg.grid)

    def saved(spacing, shift):
        shape = tuple(np.ceil((high - low) / spacing).astype(int))
        grid = network_grid((low + high) / 2 + shift, shape, spacing)

        def sampled(spline, source):
            at = np.moveaxis(source.points_to_index(grid.points()), -1, 0)
            return ndimage.map_coordinates(spline, at, order=3, prefilter=False, mode="nearest")

        label = np.where(sampled(inside, moving_seg.grid) > 0.5, number, 0).astype(np.int16)
        return Image(sampled(ct, moving.grid).astype(np.float32), grid, "ct"), Image(label, grid, "label")

    first = None
    for spacing, shift in GRIDS:
        image, label = saved(np.array(spacing, float), np.broadcast_to(shift, 3))
        result = register(
            fixed,
            image,
            fixed_seg=fixed_seg,
            moving_seg=label,
            label=options.label,
            model=network,
            refine=options.refine,
            fit_affine=options.fit_affine,
        )
        points = result.fixed.grid.points()[result.fixed.label][::10]
        places = result.transform.apply(points)
        if first is None:
            first, dice = places, result.summary["dice"]["deformable"]
            print(f"{spacing} mm: Dice {dice:.3f}")
            continue
        moved = np.linalg.norm(places - first, axis=1)
        print(
            f"{spacing} mm, shifted by {shift}: {moved.mean():.3f} mm on average, at most {moved.max():.2f}", flush=True
        )


if __name__ == "__main__":
    main()
