"""Registration of one pair: two files or images in, a Result out.

keras is imported when a network is needed, not before.
"""

import numbers
import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.levels import label_of, parse_table
from acsgreg_tf.anatomy.vertebra import Vertebra, extract, pick_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, Composite, affine_from_network, field_from_network, resample, resample_label
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS

__all__ = ["Result", "register", "run_network"]

STAGES = ("before", "affine", "deformable")
INT_STEPS = 7
# What `register` calls its `progress` with, in this order ("refining" if it is asked for).
STEPS = (
    "reading",
    "loading the network",
    "finding the vertebrae",
    "registering",
    "refining",
    "inverting",
    "moving the image",
    "measuring",
)
from acsgreg_tf.registration.models import NO_MODEL, load_model


@dataclass(frozen=True, eq=False)
class Result:
    """What a registration gives. Transforms are in RAS mm and pull: fixed -> moving.

    Attributes:
        moved: the moving image on the fixed image's grid, an Image with float32 data. It is the image as it
            was given, not masked, sampled once (linearly) through `transform`; 0 where the moving image does
            not reach.
        moved_seg: the moving vertebra's label, likewise (its interpolated mask cut at 0.5), or None.
        transform: Composite of the deformable part and the affine, fixed RAS mm -> moving RAS mm. The
            deformable part lives in the fixed vertebra's 1 mm box; beyond it there is the affine alone.
        inverse: its inverse, moving RAS mm -> fixed RAS mm, from exp(-v), corrected for the
            grid's interpolation (`ops.fields.correct_inverse`, `balance_inverse`), and the inverse affine.
        affine: the affine part alone, fixed RAS mm -> moving RAS mm.
        velocity: (x, y, z, 3) float32, stationary, in voxels of its own grid, as the network gave it, smoothed where it folded.
        displacement: (X, Y, Z, 3) float32, phi = exp(v), in voxels of the fixed vertebra's grid.
        fixed, moving: each Vertebra as the network saw it.
        images: {"before", "affine", "deformable"}: the moving Vertebra's image (X, Y, Z) on the fixed
            vertebra's grid, centres laid on each other, after the affine, after both.
        labels: the moving label (X, Y, Z), bool, likewise, or None unless both labels were given.
        summary: plain numbers and words about it, ready for json; `register` lists them.
    """

    moved: Image
    moved_seg: Image | None
    transform: Composite
    inverse: Composite
    affine: Affine
    velocity: np.ndarray
    displacement: np.ndarray
    fixed: Vertebra
    moving: Vertebra
    images: dict
    labels: dict | None
    summary: dict

    def figure(self, title=None):
        """A matplotlib Figure of the vertebra before and after; write it with `figures.save_figure`."""
        from acsgreg_tf.registration.figure import registration_figure

        labels = self.labels and {
            "fixed": self.fixed.label,
            "moving": self.labels["before"],
            "moved": self.labels["deformable"],
        }
        return registration_figure(
            self.fixed.image,
            *(self.images[stage] for stage in STAGES),
            self.displacement,
            labels,
            title=title,
        )


def register(
    fixed,
    moving,
    *,
    model=None,
    fixed_seg=None,
    moving_seg=None,
    label=None,
    level=None,
    table="verse",
    moving_label=None,
    moving_table=None,
    fit_affine=True,
    refine=0,
    smoothness=None,
    progress=None,
    refine_progress=None,
):
    """Register the moving vertebra to the fixed one.

    Grids, spacings, orientations and scanner frames may differ; image and label are each placed by their own
    header.

    Args:
        fixed, moving: paths, nibabel or SimpleITK images, or Images. With a label map a whole scan; without
            one a crop that shows one vertebra on an empty background.
        model: a network, or the path of one; None is the network that comes with the package. "none" goes without a network:
            the affine is fitted from nothing and refinement starts there.
        fixed_seg, moving_seg: label maps, likewise; each is optional.
        label: the vertebra's number in the label maps. Not needed where each map holds one.
        level: its name instead, e.g. "L3".
        table: which number a level has: "verse", "totalsegmentator", a list such as "L1=20,L2=21", or a dict.
        moving_label, moving_table: the same for the moving label map, where another tool made it; None is `label`, `table`.
        fit_affine: fit the network's affine to the two surfaces before its deformable part goes on (`data.affine_fit`): the
            affine is more accurate, and the answer depends less on where the voxels of a scan happen to lie. False takes the
            affine as the network gives it. A network's whole answer on two crops is `run_network`.
        refine: steps of refinement after the network's answer (`refinement.refine`), 0 for none.
        smoothness: how smooth a refined deformation is; None takes the default, larger is smoother.
        progress: called with a few words as each stage begins.
        refine_progress: called as refine_progress(done, total, objective) after each step of refinement.

    Returns:
        A Result. Its summary holds: fixed, moving, model, level, label; cut (fixed and moving: whether the
        vertebra is not all there) and warnings; lncc (window 9, over windows that reach the fixed vertebra)
        and ncc (whole box) of the two vertebrae, each before, after the affine and after the deformation;
        with both labels dice and assd_mm likewise, and dice_on_fixed_grid (moved_seg against the fixed label
        as it was given). Labels are sampled once, linearly, and cut at 0.5; all measures but the last one are
        taken on the fixed vertebra's 1 mm grid. affine_fit_mm is how far on average the fit moved the fixed vertebra's voxels (a
        network with a poor affine is told by it), or None. folds (count, percent) are those of phi by forward
        differences, none; without refinement its network counts those of the network's own field, before its velocity was
        smoothed where it folds; inverse_error_mm is the mean distance, in the fixed vertebra, by which the inverse
        misses; seconds goes by stage. With refinement: refinement (steps, smoothness, stopped, objective before and after,
        and its terms).

    Warns:
        with one line for each vertebra that is cut by its scan's edge or larger than the network's box.

    Raises:
        InputError: in one line that names the file or the value: whatever `data.images`, `data.levels`,
            `data.vertebrae` or the model's file refuse, or options that contradict each other.
    """
    if not isinstance(refine, numbers.Integral) or refine < 0:
        raise InputError(f"refine {refine}: must be a whole number of steps, and not negative")
    if smoothness is not None and not refine:
        raise InputError(f"smoothness {smoothness}: goes with refine")
    if model == NO_MODEL and not fit_affine:
        raise InputError("fit_affine False: without a network there is no other affine")
    smoothness = DEFAULT_SMOOTHNESS if smoothness is None else smoothness
    clock = _Clock(progress)
    with clock("reading"):
        fixed, moving = as_image(fixed), as_image(moving)
        fixed_seg, moving_seg = (None if seg is None else as_label(seg) for seg in (fixed_seg, moving_seg))
        number, moving_number = _numbers_of(label, level, table, moving_label, moving_table, fixed_seg, moving_seg)
        for seg, which in ((fixed_seg, number), (moving_seg, moving_number)):
            if seg is not None:
                pick_label(seg, which)
    with clock("loading the network"):
        network = None if model == NO_MODEL else load_model(model)
    inshape = NETWORK_SHAPE if network is None else network.inshape
    with clock("finding the vertebrae"):
        vertebra_f = extract(fixed, fixed_seg, number, inshape)
        vertebra_m = extract(moving, moving_seg, moving_number, inshape)
    notes = [*vertebra_f.notes, *vertebra_m.notes]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    found, refined, network_folds, fitted_by = {"affine": None, "velocity": None}, None, None, None
    int_steps = INT_STEPS if network is None else network.arguments["int_steps"]
    with clock("registering"):
        if network is not None:
            if fit_affine and _have_surfaces(vertebra_f, vertebra_m):
                found, fitted_by = _fitted_answer(network, vertebra_f, vertebra_m)
            else:
                found = _answer(network, vertebra_f.image, vertebra_m.image)
            if not refine:  # which does so itself, at its end
                found, network_folds = _unfolded(found, inshape, int_steps)
    if refine or network is None:
        with clock("refining"):
            refined = _refined(vertebra_f, vertebra_m, found, refine, smoothness, int_steps, refine_progress)
            found = {"affine": refined.affine, "velocity": refined.velocity}
    with clock("inverting"):
        found = _with_fields(found, inshape, int_steps)
    affine = affine_from_network(found["affine"], vertebra_f.grid, vertebra_m.grid)
    phi = field_from_network(found["phi"], vertebra_f.grid, found["inverse"])
    transform = Composite([phi, affine])
    with clock("moving the image"):
        moved = Image(resample(moving.data, moving.grid, fixed.grid, transform), fixed.grid, f"{moving.name} moved")
        moved_seg = None
        if moving_seg is not None:
            one = np.where(moving_seg.data == vertebra_m.number, moving_seg.data, 0)
            one = resample_label(one, moving_seg.grid, fixed.grid, transform)
            moved_seg = Image(one, fixed.grid, f"{moving_seg.name} moved")
    with clock("measuring"):
        start = affine_from_network(np.eye(3, 4), vertebra_f.grid, vertebra_m.grid)
        transforms = dict(zip(STAGES, (start, affine, transform), strict=True))
        images, labels = _stages(transforms, vertebra_f, vertebra_m, moving_seg if fixed_seg is not None else None)
        measures = _measures(vertebra_f, images, labels, found)
        measures["affine_fit_mm"] = fitted_by
        if network_folds is not None:
            measures["folds"]["network"] = network_folds
        if labels is not None:
            target = fixed_seg.data == vertebra_f.number
            if not fixed_seg.grid.isclose(fixed.grid):
                target = resample_label(target, fixed_seg.grid, fixed.grid)
            measures["dice_on_fixed_grid"] = metrics.dice(target, moved_seg.data)
    summary = {
        "fixed": fixed.name,
        "moving": moving.name,
        "model": os.fspath(model) if isinstance(model, (str, os.PathLike)) else network.name,
        **({} if refined is None else {"refinement": _account(refined, smoothness)}),
        "level": level,
        "label": {"fixed": vertebra_f.number, "moving": vertebra_m.number},
        "cut": {"fixed": vertebra_f.cut, "moving": vertebra_m.cut},
        "warnings": notes,
        **measures,
        "seconds": clock.summary(),
    }
    return Result(
        moved=moved,
        moved_seg=moved_seg,
        transform=transform,
        inverse=transform.inverse(),
        affine=affine,
        velocity=found["velocity"],
        displacement=found["phi"],
        fixed=vertebra_f,
        moving=vertebra_m,
        images=images,
        labels=labels,
        summary=summary,
    )


def _numbers_of(label, level, table, moving_label, moving_table, fixed_seg, moving_seg):
    """The label numbers asked for in the fixed and in the moving map, each a number or None."""
    if moving_label is not None and (moving_seg is None or level is not None):
        raise InputError(f"moving label {moving_label}: goes with a moving label map, and without a level")
    if moving_table is not None and level is None:
        raise InputError("moving_table: goes with a level")
    if label is not None and level is not None:
        raise InputError(f"label {label} and level {level}: give one of the two")
    if level is None:
        if label is not None and fixed_seg is None and moving_seg is None:
            raise InputError(f"label {label}: needs label maps to look it up in")
        return label, label if moving_label is None else moving_label
    sides = (fixed_seg, table), (moving_seg, table if moving_table is None else moving_table)
    if all(seg is None for seg, _ in sides):
        raise InputError(f"level {level}: needs label maps to look it up in")
    return (
        None if seg is None else label_of(level, names if isinstance(names, dict) else parse_table(names))
        for seg, names in sides
    )


def _answer(network, fixed, moving):
    """The network's affine and velocity, [3, 4] and [x, y, z, 3]."""
    answer = _called(network, _inputs(fixed, moving), training=False)
    return {name: _numbers(answer[name]) for name in ("affine", "velocity")}


def _have_surfaces(*vertebrae):
    with ThreadPoolExecutor(len(vertebrae)) as pool:
        return all(distance is not None for distance in pool.map(lambda vertebra: vertebra.distance, vertebrae))


def _fitted_answer(network, fixed, moving):
    """The same for two Vertebrae, the deformable part going on from the affine fitted to the surfaces; and how far, in mm
    on average, the fit moved the fixed vertebra's voxels."""
    from acsgreg_tf.geometry import surface_affine as affine_fit
    from acsgreg_tf.ops.affine import warp_affine

    inputs = _inputs(fixed.image, moving.image)
    first = _numbers(_called(network.affine_net, inputs, training=False))
    affine = affine_fit.fit_affine(fixed.distance, moving.distance, first).astype(np.float32)
    m_a = _called(warp_affine, inputs["moving"], affine[None], constant=True)
    velocity = _numbers(_called(network.deformable_net, [inputs["fixed"], m_a], training=False))
    voxels = np.argwhere(fixed.distance < 0) - (np.array(fixed.distance.shape) - 1) / 2
    moved = voxels @ (affine - first)[:, :3].T + (affine - first)[:, 3]
    return {"affine": affine, "velocity": velocity}, float(np.linalg.norm(moved, axis=1).mean())


def _inputs(fixed, moving):
    return {"fixed": fixed[None, ..., None], "moving": moving[None, ..., None]}


def _called(function, *arguments, **options):
    from acsgreg_tf.ops.backend import without_gradients

    return without_gradients(function)(*arguments, **options)


def _numbers(answer):
    """One of a network's answers, without the batch axis, numpy."""
    from keras import ops

    found = ops.convert_to_numpy(answer)[0]
    if not np.isfinite(found).all():
        raise InputError("the network's answer holds a NaN or an infinite number; was it trained?")
    return found


def run_network(network, fixed, moving):
    """What a network finds on two crops (X, Y, Z): {"affine", "velocity", "phi", "inverse"}, numpy, without the batch axis."""
    return _with_fields(_answer(network, fixed, moving), network.inshape, network.arguments["int_steps"])


def _unfolded(found, inshape, int_steps):
    """The network's answer with its velocity smoothed where exp(v) folds, and how many folds there were (forward differences)."""
    from acsgreg_tf.registration import refine as refinement

    count = metrics.folds(_exp(found["velocity"], inshape, int_steps)).count
    velocity, _ = refinement.without_folds(found["velocity"], inshape, int_steps)
    return {**found, "velocity": velocity}, count


def _refined(fixed, moving, found, steps, smoothness, int_steps, progress):
    from acsgreg_tf.registration import refine as refinement

    return refinement.refine(
        fixed.image,
        moving.image,
        fixed_mask=fixed.label,
        moving_mask=moving.label,
        fixed_distance=fixed.distance,
        moving_distance=moving.distance,
        affine=found["affine"],
        velocity=found["velocity"],
        steps=steps,
        smoothness=smoothness,
        int_steps=int_steps,
        progress=progress,
    )


def _account(refined, smoothness):
    return {
        "steps": refined.steps,
        "smoothness": smoothness,
        "stopped": refined.stopped,
        "objective": {"start": refined.start, "end": refined.end},
        "terms": refined.terms,
    }


def _with_fields(found, inshape, int_steps):
    """Affine and velocity with phi = exp(v) and its inverse [X, Y, Z, 3], numpy."""
    from keras import ops

    from acsgreg_tf.ops import fields

    phi, inverse = (_exp(v, inshape, int_steps) for v in (found["velocity"], -found["velocity"]))
    forward = ops.convert_to_tensor(phi[None])
    inverse = fields.balance_inverse(fields.correct_inverse(ops.convert_to_tensor(inverse[None]), forward), forward)
    return {**found, "phi": phi, "inverse": ops.convert_to_numpy(inverse)[0]}


def _exp(velocity, inshape, int_steps):
    """exp(v) of a velocity [x, y, z, 3] as a displacement [X, Y, Z, 3], numpy."""
    from keras import ops

    from acsgreg_tf.ops import fields

    phi = fields.integrate(ops.convert_to_tensor(velocity[None]), int_steps)
    if tuple(phi.shape[1:4]) != tuple(inshape):
        phi = fields.resize_displacement(phi, inshape)
    return ops.convert_to_numpy(phi)[0]


def _stages(transforms, fixed, moving, moving_seg):
    """The moving image, and its label if there are two, on the fixed vertebra's grid through each transform."""
    images = {s: resample(moving.image, moving.grid, fixed.grid, t) for s, t in transforms.items()}
    if moving_seg is None:
        return images, None
    one = moving_seg.data == moving.number
    return images, {s: resample_label(one, moving_seg.grid, fixed.grid, t) for s, t in transforms.items()}


def _measures(fixed, images, labels, found):
    from acsgreg_tf.losses import LNCC

    lncc = LNCC(window=9)
    target = fixed.image[None, ..., None]
    measures = {
        "lncc": {stage: -float(lncc(target, image[None, ..., None])) for stage, image in images.items()},
        "ncc": {stage: _ncc(fixed.image, image) for stage, image in images.items()},
    }
    if labels is not None:
        measures["dice"] = {stage: metrics.dice(fixed.label, label) for stage, label in labels.items()}
        measures["assd_mm"] = {
            stage: metrics.assd(fixed.label, label, spacing=fixed.grid.spacing) for stage, label in labels.items()
        }
    folds = metrics.folds(found["phi"])
    measures["folds"] = {"count": folds.count, "percent": folds.percent}
    measures["inverse_error_mm"] = metrics.inverse_consistency_error(
        found["phi"], found["inverse"], spacing=fixed.grid.spacing, mask=fixed.image > 0
    ).mean
    return measures


def _ncc(fixed, moved):
    """Normalised cross-correlation of two volumes, -1 to 1; 0 if one of them is constant."""
    fixed, moved = (volume - volume.mean(dtype=float) for volume in (fixed, moved))
    scale = np.sqrt((fixed**2).sum() * (moved**2).sum())
    return float((fixed * moved).sum() / scale) if scale else 0.0


class _Clock:
    """Seconds by stage; tells of each as it begins."""

    def __init__(self, progress):
        self.progress, self.seconds = progress, {}
        self.started = time.perf_counter()

    @contextmanager
    def __call__(self, stage):
        if self.progress is not None:
            self.progress(stage)
        begun = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - begun

    def summary(self):
        seconds = {**self.seconds, "total": time.perf_counter() - self.started}
        return {stage: round(value, 3) for stage, value in seconds.items()}
