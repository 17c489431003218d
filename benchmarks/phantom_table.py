"""Generated vertebrae measured, real ones beside them where there are some, and the pictures of the phantom's page.

python benchmarks/phantom_table.py --people 40
python benchmarks/phantom_table.py --labels DIR                             VerSe label maps: NIfTI, 20 = L1 ... 24 = L5
python benchmarks/phantom_table.py --meshes 'DIR/*_L?.npz' --axes LPS       arrays: vertices in mm, faces
python benchmarks/phantom_table.py --pictures docs/images
"""

import argparse
import re
import time
from glob import glob
from itertools import combinations
from pathlib import Path

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR as LEVELS
from acsgreg_tf.geometry.distance import from_mask, from_mesh
from acsgreg_tf.io.images import read_label
from acsgreg_tf.metrics import assd, dice
from acsgreg_tf.synthesis.phantom import vertebra


def measure(people):
    """Volumes (ml) and extents (mm) of masks (X, Y, Z) at 1 mm, and Dice and ASSD (mm) of up to 60 pairs."""
    volumes = np.array([m.sum() / 1000 for m in people])
    extents = np.array([np.ptp(np.argwhere(m), axis=0) + 1 for m in people])
    pairs = list(combinations(range(len(people)), 2))
    np.random.default_rng(0).shuffle(pairs)
    overlaps = [(dice(people[i], people[j]), assd(people[i], people[j], spacing=(1, 1, 1))) for i, j in pairs[:60]]
    return volumes, extents, np.array(overlaps)


def row(name, people):
    volumes, extents, overlaps = measure(people)
    cells = [f"{v.mean():.0f} ± {v.std():.0f} ({v.min():.0f}-{v.max():.0f})" for v in (volumes, *extents.T)]
    cells += [f"{o.mean():.2f} ± {o.std():.2f}" for o in overlaps.T] if len(overlaps) else ["", ""]
    print("| " + " | ".join([name, str(len(people)), *cells]) + " |", flush=True)
    return overlaps


def meshes(pattern, axes):
    """Masks of closed surfaces in .npz files that are named *_L1.npz ... *_L5.npz, by level."""
    masks = {level: [] for level in LEVELS}
    for path in sorted(glob(pattern)):
        with np.load(path) as surface:
            mask = from_mesh(surface["vertices"], surface["faces"], axes=axes, name=path) < 0
        masks[Path(path).stem[-2:]].append(mask)
    return masks


def labels(folder):
    """Masks of the vertebrae in VerSe label maps that touch no border, by level; one named _L3_ holds one label."""
    masks = {level: [] for level in LEVELS}
    for path in sorted(Path(folder).glob("*.nii.gz")):
        single = re.search(r"_(L[1-5])_", path.name)
        image = read_label(path)
        for number, level in enumerate(LEVELS, 20):
            mask = image.data > 0 if single else image.data == number
            if not mask.any() or (single and single[1] != level):
                continue
            corners = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
            if min(corners[0]) > 0 and all(corners[1] < np.array(mask.shape) - 1):
                masks[level].append(from_mask(mask, image.grid.affine, name=path) < 0)
    return masks


def draw(folder):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection
    from skimage.measure import marching_cubes

    def surface(axis, field, forward, up):
        """Orthographic view along -forward: visible triangles, far ones first, shaded by a lamp over the shoulder."""
        points, faces, _, _ = marching_cubes(field, 0)
        corners = (points - (np.array(field.shape) - 1) / 2)[faces]
        normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        if (normals * corners.mean(1)).sum() < 0:
            normals = -normals
        forward = np.array(forward, float) / np.linalg.norm(forward)
        right = np.cross(up, forward)
        right /= np.linalg.norm(right)
        upward = np.cross(forward, right)
        lamp = forward + 0.5 * upward - 0.4 * right
        seen = np.flatnonzero(normals @ forward > 0)
        seen = seen[np.argsort(corners[seen].mean(1) @ forward)]
        light = 0.25 + 0.75 * np.clip(normals[seen] @ lamp / np.linalg.norm(lamp), 0, 1)
        flat = np.stack([corners[seen] @ right, corners[seen] @ upward], -1)
        colours = light[:, None] * [0.95, 0.9, 0.8]
        axis.add_collection(PolyCollection(flat, facecolors=colours, edgecolors=colours, linewidths=0.3))
        axis.set(xlim=(-58, 58), ylim=(-52, 50), aspect="equal")
        axis.axis("off")

    views = {
        "back": ((0, -1, 0), (0, 0, 1)),
        "left": ((-1, 0, 0), (0, 0, 1)),
        "above": ((0, 0, 1), (0, 1, 0)),
    }
    oblique = ((-0.5, -0.7, 0.55), (0, 0, 1))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    figure, axes = plt.subplots(4, 5, figsize=(11, 7.5))
    for column, level in zip(axes.T, LEVELS, strict=True):
        field = vertebra(1, level)
        for axis, (name, view) in zip(column, {**views, "oblique": oblique}.items(), strict=True):
            surface(axis, field, *view)
            axis.set_title(f"{level}, {name}", fontsize=8)
    save(plt, figure, folder / "phantom_levels.png")

    figure, axes = plt.subplots(3, 6, figsize=(12, 5.6))
    for seed, axis in enumerate(axes.ravel(), 10):
        surface(axis, vertebra(seed, "L3"), *oblique)
        axis.set_title(f"person {seed}, L3", fontsize=8)
    save(plt, figure, folder / "phantom_people.png")

    draw_slices(plt, folder / "phantom_slices.png")


def draw_slices(plt, path):
    figure, axes = plt.subplots(3, 5, figsize=(11, 6.6))
    for column, level in zip(axes.T, LEVELS, strict=True):
        field = vertebra(1, level)
        inside = field < 0
        pedicles = int(np.argmax(inside.sum((0, 1))))
        body = np.flatnonzero(inside[64].any(1))[-1] - 18
        planes = {"sagittal": field[64], "axial": field[:, :, pedicles], "coronal": field[:, body]}
        for axis, (name, plane) in zip(column, planes.items(), strict=True):
            axis.imshow(plane.T, origin="lower", cmap="RdBu", vmin=-8, vmax=8)
            axis.contour(plane.T, [0], colors="k", linewidths=0.8)
            axis.set_title(f"{level}, {name}", fontsize=8)
            axis.axis("off")
    save(plt, figure, path)


def save(plt, figure, path):
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.96, 0.03, 0.1)
    figure.savefig(path, dpi=72)
    plt.close(figure)


def table(kind, people):
    """One row a level of `people` {level: masks}, and the mean over all pairs."""
    overlaps = [row(f"{kind} {level}", masks) for level, masks in people.items() if masks]
    pooled = np.concatenate([o for o in overlaps if len(o)])
    print(f"| {kind}, all pairs | | | | | | {pooled[:, 0].mean():.3f} | {pooled[:, 1].mean():.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=0, help="generated people a level to measure")
    parser.add_argument("--labels", help="folder of real VerSe label maps to measure, too")
    parser.add_argument("--meshes", help="pattern of real surfaces to measure, too")
    parser.add_argument("--axes", default="RAS", help="where the surfaces' axes point (default: RAS)")
    parser.add_argument("--pictures", help="folder for the pictures")
    options = parser.parse_args()
    if options.people or options.labels or options.meshes:
        print("| | n | volume ml | x mm | y mm | z mm | Dice | ASSD mm |\n|---|---|---|---|---|---|---|---|")
    if options.labels:
        table("label", labels(options.labels))
    if options.meshes:
        table("surface", meshes(options.meshes, options.axes))
    if options.people:
        start = time.process_time()
        people = {level: [vertebra(seed, level) < 0 for seed in range(options.people)] for level in LEVELS}
        seconds = (time.process_time() - start) / (5 * options.people)
        table("generated", people)
        print(f"\n{seconds:.2f} s of processor time a generated vertebra at 128 x 128 x 64")
    if options.pictures:
        draw(options.pictures)


if __name__ == "__main__":
    main()
