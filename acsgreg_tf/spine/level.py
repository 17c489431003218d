"""One level of a spine: its own registration, by the network where it was trained, else by refinement."""

from dataclasses import dataclass

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.anatomy.plausibility import Flag
from acsgreg_tf.geometry import Affine, Composite, Grid, field_from_network
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.registration.clock import StepProgress
from acsgreg_tf.registration.doubts import flags_before
from acsgreg_tf.registration.engine import Engine
from acsgreg_tf.registration.estimate import Estimate, estimate, refined, surfaces_alone
from acsgreg_tf.registration.folds import without_folds
from acsgreg_tf.registration.margin import with_margin
from acsgreg_tf.registration.options import Options
from acsgreg_tf.registration.prepare import VertebraPair, prepare
from acsgreg_tf.registration.scan import Scan
from acsgreg_tf.spine.bones import Bone

__all__ = ["LevelResult", "register_level"]

NETWORK, REFINEMENT, SURFACES = "network", "refinement", "surfaces"
# Doubts that are about the sizes of lumbar vertebrae.
_OF_LUMBAR_SIZE = ("volume", "extent", "backward")


@dataclass(frozen=True, eq=False)
class LevelResult:
    """A level's own registration.

    Attributes:
        level: Its name.
        scans: Fixed and moving, with the level's number.
        pair: The two vertebrae.
        method: "network", "network and refinement", "refinement" (from the fitted affine) or "surfaces" (an affine
            fitted to them).
        affine: Fixed RAS mm -> moving RAS mm.
        transform: The whole, likewise; without an inverse.
        flags: Doubts about the two labels.
    """

    level: str
    scans: tuple[Scan, Scan]
    pair: VertebraPair
    method: str
    affine: Affine
    transform: Composite
    flags: tuple[Flag, ...]

    @property
    def bone(self) -> Bone:
        """The fixed vertebra with its transform."""
        return Bone(self.level, self.pair.fixed.share, self.pair.fixed.grid, self.affine, self.transform)


def register_level(
    level: str,
    scans: tuple[Scan, Scan],
    network: Engine | None,
    options: Options,
    progress: StepProgress | None = None,
) -> LevelResult:
    """Register one vertebra, without its inverse and without moving any image.

    The network was trained on L1 to L5; another level starts from the affine that is fitted to the two surfaces and is
    refined from there.

    Args:
        level: Its name, "L3".
        scans: Fixed and moving, from `registration.select`.
        network: What estimates, or None for none.
        options: As for one vertebra.
        progress: Called as progress(done, total, objective) after each step of a refinement.

    Raises:
        InputError: As `registration.register`.
        KeyboardInterrupt: Ctrl-C, also during a refinement.
    """
    known = network if level in LUMBAR else None
    pair = prepare(*scans, NETWORK_SHAPE if network is None else network.inshape)
    result, method = _estimate(pair, known, options, progress)
    if result.refined is not None and result.refined.stopped:
        raise KeyboardInterrupt
    deformation = result.deformation
    if options.deforms:
        deformation = without_folds(with_margin(deformation, pair.fixed.share > 0.5))
    affine = deformation.world_affine(pair.fixed.grid, pair.moving.grid)
    parts = []
    if deformation.velocity.any():
        parts = [field_from_network(deformation.part, _grown(pair.fixed.grid, deformation.padding))] * deformation.parts
    flags = flags_before(scans, pair)
    if level not in LUMBAR:
        flags = [flag for flag in flags if not flag.name.endswith(_OF_LUMBAR_SIZE)]
    return LevelResult(level, scans, pair, method, affine, Composite([*parts, affine]), tuple(flags))


def _estimate(
    pair: VertebraPair, network: Engine | None, options: Options, progress: StepProgress | None
) -> tuple[Estimate, str]:
    if network is None:
        if not options.steps(network=False):
            return surfaces_alone(pair, options), SURFACES
        return refined(pair, None, options, progress), REFINEMENT
    start = estimate(network, pair, options)
    if not options.refines:
        return start, NETWORK
    return refined(pair, start, options, progress), f"{NETWORK} and {REFINEMENT}"


def _grown(grid: Grid, padding: np.ndarray) -> Grid:
    return grid.crop(-padding, np.add(grid.shape, padding))
