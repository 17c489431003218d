"""The estimated deformation between two vertebrae: by a network, its affine fitted to their surfaces, and refined."""

from dataclasses import dataclass, replace

import numpy as np

from acsgreg_tf import fields
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.linear_kinds import nearest_of_kind
from acsgreg_tf.geometry.surface_affine import fit_affine as fit_to_surfaces
from acsgreg_tf.registration.clock import StepProgress
from acsgreg_tf.registration.deformation import INT_STEPS, Deformation
from acsgreg_tf.registration.engine import Engine, load_engine
from acsgreg_tf.registration.models import RegistrationNetwork
from acsgreg_tf.registration.options import Options
from acsgreg_tf.registration.prepare import VertebraPair
from acsgreg_tf.registration.refine.result import Refined
from acsgreg_tf.registration.trust import pulled, pushed


@dataclass(frozen=True, eq=False)
class Estimate:
    """The estimated deformation, and how it was reached.

    Attributes:
        deformation: Affine and velocity in network space.
        network_affine: (3, 4), the network's own affine, before it was fitted; None without a network.
        affine_fit_mm: By how much the fit to the surfaces moved the fixed vertebra's voxels on average, mm, or None.
        network_deformation: The network's own, before it was refined; None without a network.
        refined: The refinement that ended in this deformation, or None.
    """

    deformation: Deformation
    network_affine: np.ndarray | None = None
    affine_fit_mm: float | None = None
    network_deformation: Deformation | None = None
    refined: Refined | None = None


def estimate(engine: Engine, pair: VertebraPair, options: Options) -> Estimate:
    """Affine -> surface fit -> velocity.

    Args:
        engine: The network.
        pair: Two vertebrae on grids of the network's shape.
        options: Whether the affine is fitted to the two surfaces, where both vertebrae have one; of which kind it is,
            and whether a velocity goes on from there.

    Raises:
        InputError: The network's output is not finite.
    """
    first, fit_mm = _finite(engine.affine(pair.fixed.image, pair.moving.image)), None
    affine = first
    fixed, moving = pair.distances if options.fit_affine else (None, None)
    if fixed is not None and moving is not None:
        affine = fit_to_surfaces(fixed, moving, first, kind=options.kind, trust=pair.trust).astype(np.float32)
        fit_mm = _mean_change(affine - first, fixed < 0)
    if options.deforms:
        deformation = _where_both_are_seen(engine, affine, pair)
    else:
        deformation = _undeformed(nearest_of_kind(affine, options.kind), pair)
    return Estimate(deformation, first, fit_mm, deformation)


def surfaces_alone(pair: VertebraPair, options: Options) -> Estimate:
    """An affine without a network: fitted to the surfaces from nothing.

    Args:
        pair: The two vertebrae.
        options: With its kind.

    Raises:
        InputError: A vertebra shows no surface.
    """
    fixed, moving = pair.distances
    if fixed is None or moving is None:
        raise InputError("without a network both vertebrae must show a surface")
    return Estimate(_undeformed(fit_to_surfaces(fixed, moving, kind=options.kind, trust=pair.trust), pair))


def _where_both_are_seen(engine: Engine, affine: np.ndarray, pair: VertebraPair) -> Deformation:
    """The network's deformation; what one side does not show is taken out of the other too.

    Which voxels these are depends on the deformation, so it is estimated twice: the first time from the affine.
    """
    images = pair.fixed.image, pair.moving.image
    if all(seen is None for seen in pair.seen):
        return _deformation(engine, *images, affine)
    fixed_seen, moving_seen = (np.ones(pair.fixed.image.shape, bool) if s is None else s for s in pair.seen)
    deformation = _undeformed(affine, pair)
    for _ in range(2):
        in_fixed = pulled(moving_seen, deformation) > 0.5
        in_moved = pushed(fixed_seen, deformation) > 0.5
        deformation = _deformation(engine, *images, affine, (in_fixed & fixed_seen, in_moved))
    return deformation


def _undeformed(affine: np.ndarray, pair: VertebraPair) -> Deformation:
    shape = pair.fixed.image.shape
    return Deformation(affine, np.zeros((*(max(side // 2, 2) for side in shape), 3), "float32"), shape)


def refined(
    pair: VertebraPair, start: Estimate | None, options: Options, progress: StepProgress | None = None
) -> Estimate:
    """A refinement of an estimate, or of nothing.

    Args:
        pair: The two vertebrae.
        start: Where it goes on from; None fits the affine to the surfaces and starts without a deformable part.
        options: Its number of steps, its smoothness and the weight of the parts.
        progress: Called as progress(done, total, objective) after each step.
    """
    from acsgreg_tf.registration.refine import Subject, refine

    fixed, moving = (
        Subject.of(vertebra.image, vertebra.label, distance, seen, parts)
        for vertebra, distance, seen, parts in zip(
            (pair.fixed, pair.moving), pair.distances, pair.seen, pair.part_distances, strict=True
        )
    )
    before = None if start is None else start.deformation
    outcome = refine(
        fixed,
        moving,
        affine=None if before is None else before.affine,
        velocity=None if before is None else before.velocity,
        steps=options.steps(start is not None),
        smoothness=options.weight,
        parts_weight=options.weight_of_parts,
        int_steps=INT_STEPS if before is None else before.int_steps,
        progress=progress,
    )
    if start is None:
        return Estimate(outcome.deformation, refined=outcome)
    return replace(start, deformation=outcome.deformation, refined=outcome)


def run_network(network: RegistrationNetwork | Engine, fixed: np.ndarray, moving: np.ndarray) -> Deformation:
    """A network's own estimate on two crops (X, Y, Z) of its shape: nothing fitted, no folds removed.

    Raises:
        InputError: The network's output is not finite.
    """
    engine = load_engine(network)
    return _deformation(engine, fixed, moving, _finite(engine.affine(fixed, moving)))


def _deformation(
    engine: Engine,
    fixed: np.ndarray,
    moving: np.ndarray,
    affine: np.ndarray,
    shown: tuple[np.ndarray, np.ndarray] | None = None,
) -> Deformation:
    """The network's velocity after an affine; the images are set to 0 where not shown, masks (X, Y, Z)."""
    moved = fields.warp_affine(moving[..., None], affine)[..., 0]
    if shown is not None:
        fixed, moved = fixed * shown[0], moved * shown[1]
    return Deformation(affine, _finite(engine.velocity(fixed, moved)), tuple(engine.inshape), engine.int_steps)


def _finite(output: np.ndarray) -> np.ndarray:
    """A network's output, float32."""
    if not np.isfinite(output).all():
        raise InputError("the network's output holds a NaN or an infinite number; was it trained?")
    return np.asarray(output, np.float32)


def _mean_change(change: np.ndarray, inside: np.ndarray) -> float:
    """Mean length in voxels of what a change of an affine [3, 4] does to the voxels inside a mask (X, Y, Z)."""
    voxels = np.argwhere(inside) - (np.array(inside.shape) - 1) / 2
    return float(np.linalg.norm(voxels @ change[:, :3].T + change[:, 3], axis=1).mean())
