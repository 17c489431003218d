"""What a page holds of one registration, as bytes and plain values: the registration itself can be forgotten then."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.intensity import to_hu
from acsgreg_tf.evaluation.methods import measured_phi
from acsgreg_tf.geometry import Grid, affine_from_network, resample
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import Result, Scan
from acsgreg_tf.report import surface
from acsgreg_tf.report.thumbnail import thumbnail
from acsgreg_tf.report.volumes import HU_SHOWN, LOG_SHOWN, displacement, display_grid, nifti, outlines, sampled

__all__ = ["Section", "section_of"]


@dataclass(frozen=True, eq=False)
class Section:
    """One registration as a page shows it.

    Attributes:
        name: What names it, such as "L3".
        summary: Of the Result; with `std_log_jacobian`, of the whole deformation.
        inputs: Lines (what, value) about the files.
        volumes: Gzipped NIfTI files on one grid: fixed, before, affine, moved (HU), outlines (1 fixed, 2 moved, 3 both)
            and log_jacobian.
        meshes: MZ3 files in RAS mm: fixed (coloured by its distance from the moved surface), moved and before.
        field: The deformation for a drawn grid (`volumes.displacement`).
        start: Where the crosshair stands first, RAS mm: the place deepest inside the fixed vertebra, in its body.
        picture: A thumbnail, PNG.
    """

    name: str
    summary: dict[str, Any]
    inputs: list[tuple[str, str]]
    volumes: dict[str, bytes]
    meshes: dict[str, bytes]
    field: dict[str, Any]
    start: list[float]
    picture: bytes


def section_of(result: Result, fixed: Scan, moving: Scan, name: str = "") -> Section:
    """What a page shows of a registration.

    Args:
        result: From `register(fixed, moving, ...)`.
        fixed: The fixed scan.
        moving: The moving scan.
        name: What names it among others.
    """
    grid, bone = result.fixed.grid, result.fixed.share > 0.5
    shown = display_grid(bone, grid, float(fixed.image.grid.spacing.min()))
    centred = affine_from_network(np.eye(3, 4), grid, result.moving.grid)
    stages = {"before": centred, "affine": result.affine, "moved": result.transform}
    hu = to_hu(moving.image.data)
    images = {"fixed": sampled(fixed.image, to_hu(fixed.image.data), shown)}
    images |= {stage: sampled(moving.image, hu, shown, transform) for stage, transform in stages.items()}
    volumes = {stage: nifti(image, shown, *HU_SHOWN) for stage, image in images.items()}

    share = resample(result.fixed.share, grid, shown)
    moved = resample(result.moving.share, result.moving.grid, shown, result.transform)
    volumes["outlines"] = nifti(outlines(share > 0.5, moved > 0.5), shown)
    log_jacobian = _log_jacobian(result.displacement)
    values = (resample(log_jacobian, grid, shown).clip(-LOG_SHOWN, LOG_SHOWN) + LOG_SHOWN) / (2 * LOG_SHOWN)
    volumes["log_jacobian"] = nifti(np.rint(values * 255).astype(np.uint8), shown, -LOG_SHOWN, LOG_SHOWN)
    spread = metrics.std_log_jacobian(measured_phi(result.deformation))
    return Section(
        name=name,
        summary=result.summary | {"std_log_jacobian": spread},
        inputs=_inputs(fixed, moving),
        volumes=volumes,
        meshes=_meshes(result, stages),
        field=displacement(result.displacement * grid.spacing, grid, shown),
        start=_deepest(bone, grid),
        picture=thumbnail(result),
    )


def _log_jacobian(displacement: np.ndarray) -> np.ndarray:
    """Natural log of the Jacobian determinant, of the shape (X, Y, Z); the least shown where it folds."""
    determinant = np.pad(metrics.jacobian_determinant(displacement), [(0, 1)] * 3, mode="edge")
    return np.log(np.maximum(determinant, np.exp(-LOG_SHOWN))).astype(np.float32)


def _deepest(bone: np.ndarray, grid: Grid) -> list[float]:
    depth = ndimage.distance_transform_edt(bone)
    return grid.index_to_points(np.unravel_index(int(depth.argmax()), depth.shape)).tolist()


def _meshes(result: Result, stages: dict[str, Transform]) -> dict[str, bytes]:
    """The fixed surface with its colours, and the moving one where the transforms put it; none without a surface."""
    grid, moving = result.fixed.grid, result.moving
    shares = {"fixed": result.fixed.share}
    shares |= {stage: resample(moving.share, moving.grid, grid, stages[stage]) for stage in ("moved", "before")}
    distances = {name: from_crop(share) for name, share in shares.items()}
    meshes = {}
    for name, distance in distances.items():
        if distance is None:
            continue
        vertices, faces = surface.triangles(distance, grid)
        colours = None
        if name == "fixed" and (other := distances["moved"]) is not None:
            colours = surface.colours_of(surface.distances_at(vertices, other, grid))
        meshes[name] = surface.mz3(vertices, faces, colours)
    return meshes


def _inputs(fixed: Scan, moving: Scan) -> list[tuple[str, str]]:
    lines = []
    for side, scan in (("fixed", fixed), ("moving", moving)):
        lines.append((f"{side} image", _described(scan.image)))
        if scan.label_map is not None:
            lines.append((f"{side} label map", f"{_described(scan.label_map)}, label {scan.number}"))
        if scan.ignore is not None:
            lines.append((f"{side} mask of what not to compare", _described(scan.ignore)))
    return lines


def _described(image: Image) -> str:
    shape = " x ".join(str(n) for n in image.data.shape)
    spacing = " x ".join(f"{step:.3g}" for step in image.grid.spacing)
    return f"{image.name} ({shape} voxels of {spacing} mm)"
