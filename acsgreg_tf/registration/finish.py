"""The last step of a registration: the moving scan on the fixed scan's grid, and what a summary says."""

from typing import Any

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.intensity import outside_of
from acsgreg_tf.geometry import resample, resample_label
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.estimate import Estimate
from acsgreg_tf.registration.prepare import VertebraPair
from acsgreg_tf.registration.refine.result import Refined
from acsgreg_tf.registration.scan import Scan
from acsgreg_tf.registration.schema import SCHEMA_VERSION


def move(fixed: Scan, moving: Scan, transform: Transform) -> tuple[Image, Image | None]:
    """The moving image, and the chosen vertebra's label where there is a label map, on the fixed image's grid.

    Where the moving image does not reach there is air (`anatomy.intensity.outside_of`).
    """
    grid, image = fixed.image.grid, moving.image
    data = resample(image.data, image.grid, grid, transform, fill=outside_of(image.data))
    moved = Image(data, grid, f"{image.name} moved")
    alone = moving.alone
    if alone is None:
        return moved, None
    return moved, Image(resample_label(alone.data, alone.grid, grid, transform), grid, f"{alone.name} moved")


def dice_on_fixed_grid(fixed: Scan, moved_seg: Image) -> float:
    """Dice of the moved label with the fixed label map, on the fixed image's grid."""
    assert fixed.label_map is not None
    target, grid = fixed.label_map.data == fixed.number, fixed.image.grid
    if not fixed.label_map.grid.isclose(grid):
        target = resample_label(target, fixed.label_map.grid, grid)
    return metrics.dice(target, moved_seg.data)


def summarise(
    scans: tuple[Scan, Scan],
    pair: VertebraPair,
    estimate: Estimate,
    measures: dict[str, Any],
    *,
    model: str,
    engine: str | None,
    level: str | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """A Result's summary; `pipeline.register` lists what it holds.

    Args:
        scans: Fixed and moving.
        pair: Their vertebrae.
        estimate: The deformation, with its fit and refinement.
        measures: From `measures.measure`.
        model: Name or path of the network.
        engine: What computed it; None without a network.
        level: As the user called it, or None.
        seconds: By step.
    """
    fixed, moving = scans
    refinement = {} if estimate.refined is None else {"refinement": _refinement(estimate.refined)}
    return {
        "schema_version": SCHEMA_VERSION,
        "fixed": fixed.image.name,
        "moving": moving.image.name,
        "model": model,
        "engine": engine,
        "method": _method(engine, estimate),
        **refinement,
        "level": level,
        "label": {"fixed": fixed.number, "moving": moving.number},
        "cut": {"fixed": pair.fixed.cut, "moving": pair.moving.cut},
        "warnings": pair.notes,
        **measures,
        "affine_fit_mm": estimate.affine_fit_mm,
        "seconds": seconds,
    }


def _method(engine: str | None, estimate: Estimate) -> str:
    stages = [] if engine is None else ["network"]
    stages += ["refinement"] if estimate.refined is not None and estimate.refined.steps else []
    return " and ".join(stages) or "surfaces"


def _refinement(refined: Refined) -> dict[str, Any]:
    return {
        "steps": refined.steps,
        "smoothness": refined.smoothness,
        "stopped": refined.stopped,
        "objective": {"start": refined.start, "end": refined.end},
        "terms": refined.terms,
    }
