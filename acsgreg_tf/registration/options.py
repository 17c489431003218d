"""What can be chosen of a registration, and the rules that the choices follow."""

from dataclasses import dataclass
from typing import Any

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.linear_kinds import KINDS
from acsgreg_tf.registration.models import NO_MODEL
from acsgreg_tf.registration.refine import (
    DEFAULT_PARTS_WEIGHT,
    DEFAULT_SMOOTHNESS,
    DEFAULT_STEPS,
    FULL_STEPS,
    check_parts_weight,
    check_smoothness,
    check_steps,
)

DEFORMABLE = "deformable"
TRANSFORMS = (*KINDS, DEFORMABLE)


@dataclass(frozen=True)
class Options:
    """How a pair is registered; `pipeline.register` explains each.

    Attributes:
        fit_affine: Fit the network's affine to the two surfaces.
        refine: Steps of refinement, 0 for none; None takes the default (`steps`).
        smoothness: Of the refined deformation; None takes the default.
        parts_weight: Of the parts, where both sides have them, in a refinement; None takes the default.
        transform: One of `TRANSFORMS`: an affine of that kind alone, or "deformable", an affine and a deformation.

    Raises:
        InputError: A number that is out of range, a smoothness or a weight without refinement, a refinement without a
            deformation, or a transform that is not known.
    """

    fit_affine: bool = True
    refine: int | None = None
    smoothness: float | None = None
    transform: str = DEFORMABLE
    parts_weight: float | None = None

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise InputError(f"transform {self.transform}: must be one of {', '.join(TRANSFORMS)}")
        if self.refine is not None:
            check_steps(self.refine)
        if self.refine and not self.deforms:
            raise InputError(f"refine {self.refine}: goes with transform deformable, not {self.transform}")
        if self.smoothness is not None:
            check_smoothness(self.smoothness)
            if not self.refines:
                raise InputError(f"smoothness {self.smoothness:g}: goes with refine")
        if self.parts_weight is not None:
            check_parts_weight(self.parts_weight)
            if not self.refines:
                raise InputError(f"parts_weight {self.parts_weight:g}: goes with refine")

    @property
    def deforms(self) -> bool:
        """Whether there is a deformation beside the affine."""
        return self.transform == DEFORMABLE

    @property
    def kind(self) -> str:
        """What the affine may be, a key of `geometry.linear_kinds.KINDS`."""
        return "affine" if self.deforms else self.transform

    def steps(self, network: bool = True) -> int:
        """Steps of refinement: those asked for, else few after a network and a whole refinement without one."""
        if not self.deforms:
            return 0
        if self.refine is not None:
            return self.refine
        return DEFAULT_STEPS if network else FULL_STEPS

    @property
    def refines(self) -> bool:
        """Whether there is any refinement."""
        return self.steps() > 0

    @property
    def weight(self) -> float:
        """Weight of the refinement's smoothness."""
        return DEFAULT_SMOOTHNESS if self.smoothness is None else self.smoothness

    @property
    def weight_of_parts(self) -> float:
        """Weight of the refinement's parts."""
        return DEFAULT_PARTS_WEIGHT if self.parts_weight is None else self.parts_weight

    def check_parts(self, fixed: str | None, moving: str | None) -> None:
        """Raise InputError unless maps of parts go with the options: names of both, or None for both.

        Args:
            fixed: Name of the fixed side's map.
            moving: Of the moving side's.
        """
        given = fixed or moving
        if given is None:
            if self.parts_weight is not None:
                raise InputError(f"parts_weight {self.parts_weight:g}: needs the parts of both sides")
        elif fixed is None or moving is None:
            raise InputError(f"{given}: the parts of one side alone; give those of both")
        elif not self.refines:
            raise InputError(f"{given}: parts go with refine")

    def check_model(self, model: Any) -> None:
        """Raise InputError where the options do not go with a model (a network, its path, None or "none")."""
        if isinstance(model, str) and model == NO_MODEL and not self.fit_affine:
            raise InputError("fit_affine False: without a network there is no other affine")
