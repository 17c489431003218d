"""The registration of a whole spine from end to end: levels -> blend -> poses -> moved scan -> measures."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.axes import Axes, axes_of
from acsgreg_tf.anatomy.levels import parse_table
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Composite
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image
from acsgreg_tf.parallel import run_in_threads
from acsgreg_tf.registration.clock import Clock, Progress, StepProgress
from acsgreg_tf.registration.engine import Engine, side_by_side
from acsgreg_tf.registration.options import Options
from acsgreg_tf.registration.prepare import Selection, VertebraPair, select
from acsgreg_tf.registration.scan import Scan
from acsgreg_tf.spine.blending import Blend, blend
from acsgreg_tf.spine.level import LevelResult, register_level
from acsgreg_tf.spine.measures import measure
from acsgreg_tf.spine.moving import move_scan
from acsgreg_tf.spine.poses import Motion, motions

__all__ = ["STEPS", "SpineResult", "register_spine"]

# Vertebrae that only some people have.
OF_SOME = ("T13", "L6")
# In this order; the first once a level, with its name.
STEPS = ("registering", "blending", "moving the scan", "measuring")


@dataclass(frozen=True, eq=False)
class SpineResult:
    """A spine's registration. Transforms are in RAS mm and pull: fixed -> moving.

    Attributes:
        moved: The moving image on the fixed image's grid, float32, sampled once.
        moved_seg: The moving label map likewise, with all of its labels.
        transform: The one transform of the whole region.
        inverse: Its inverse, moving -> fixed.
        blend: What it is made of.
        levels: Each level's own registration, head to foot.
        axes: Of the fixed vertebrae, by level.
        motions: Of each level and each segment.
        summary: Plain numbers and words, ready for json: fixed, moving, levels and the rest of `spine.measures`,
            motions, rigid (4 x 4, RAS mm, far from the spine), steps, flags, warnings and seconds.
    """

    moved: Image
    moved_seg: Image
    transform: Composite
    inverse: Transform
    blend: Blend
    levels: tuple[LevelResult, ...]
    axes: Mapping[str, Axes]
    motions: tuple[Motion, ...]
    summary: dict[str, Any]


def register_spine(
    fixed: Scan,
    moving: Scan,
    levels: Sequence[str],
    selection: Selection,
    *,
    network: Engine | None,
    options: Options,
    progress: Progress | None = None,
    refine_progress: StepProgress | None = None,
) -> SpineResult:
    """Register all levels of two scans, as one smooth invertible transform.

    Args:
        fixed: With a label map.
        moving: Likewise.
        levels: Names, head to foot, from `registration.shared_levels`.
        selection: With the tables of the two label maps.
        network: What estimates L1 to L5; None refines these too, from the affine fitted to the surfaces.
        options: As for one vertebra. Of a transform that is not "deformable" each vertebra stays as it is.
        progress: Called with the name of each of `STEPS` as it begins, the first one once a level: "registering L3".
            Levels are registered side by side, so from several threads.
        refine_progress: Called as refine_progress(done, total, objective) after each step of a refinement.

    Warns:
        with one line for each vertebra that is cut, for stray voxels, and for each doubt.

    Raises:
        InputError: A scan without a label map, a vertebra that cannot be used.
        KeyboardInterrupt: Ctrl-C, also while a level is refined: one cut short would bend the spine.
    """
    if fixed.label_map is None or moving.label_map is None:
        raise InputError("spine: both scans need a label map")
    clock = Clock(progress)
    stopped = threading.Event()

    def register_one(level: str) -> LevelResult:
        if progress is not None:
            progress(f"{STEPS[0]} {level}")

        def step(done: int, total: int, objective: float) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            if refine_progress is not None:
                refine_progress(done, total, objective)

        scans = select(fixed, moving, replace(selection, level=level))
        return register_level(level, scans, network, options, step)

    with clock.timed("registering levels"):
        registered = run_in_threads(register_one, levels, side_by_side(network), stopped.set)
        results = [result for _, result in registered]
    with clock(STEPS[1]):
        whole = blend([result.bone for result in results])
    with clock(STEPS[2]):
        grid, transform = fixed.image.grid, whole.transform
        moved, moved_seg = move_scan(moving.image, moving.label_map, grid, whole)
    with clock(STEPS[3]):
        axes = {result.level: _axes_of(result.pair) for result in results}
        affines = {result.level: result.affine for result in results}
        table = motions(affines, axes, _levels_of(fixed, selection))
        measures = measure(whole, results)
    for result in results:
        own = measures["levels"][result.level]
        own |= {"method": result.method, "cut": {"fixed": result.pair.fixed.cut, "moving": result.pair.moving.cut}}
        own["label"] = {"fixed": result.scans[0].number, "moving": result.scans[1].number}
    flags = [
        {"level": result.level, "name": flag.name, "text": flag.text} for result in results for flag in result.flags
    ]
    notes = list(dict.fromkeys(note for result in results for note in result.pair.notes))
    for text in notes + [flag["text"] for flag in flags]:
        warnings.warn(text, stacklevel=2)
    summary = {
        "fixed": fixed.image.name,
        "moving": moving.image.name,
        "transform": options.transform,
        **measures,
        "motions": {motion.name: motion.summary() for motion in table},
        "rigid": np.asarray(whole.rigid.matrix).tolist(),
        "steps": len(whole.steps),
        "flags": flags,
        "warnings": notes,
        "seconds": clock.summary(),
    }
    inverse = transform.inverse()
    return SpineResult(moved, moved_seg, transform, inverse, whole, tuple(results), axes, tuple(table), summary)


def _axes_of(pair: VertebraPair) -> Axes:
    return axes_of(pair.fixed.share, pair.fixed.grid, pair.distances[0])


def _levels_of(scan: Scan, selection: Selection) -> list[str]:
    """The levels of the fixed table, head to foot, without those that only some people have and this one has not."""
    table = parse_table(selection.table) if isinstance(selection.table, str) else selection.table
    held = scan.levels(table)
    return [level for level in table if level in held or level not in OF_SOME]
