"""Anybody's answer to a pair, a transform or a moved label, as the outcome that our own answer would be."""

from dataclasses import dataclass

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.vertebra import extract
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.measures import Outcome
from acsgreg_tf.evaluation.written import DOMAIN_MM, lattice_beyond
from acsgreg_tf.geometry import (
    NETWORK_SHAPE,
    Affine,
    Composite,
    Grid,
    Transform,
    affine_from_network,
    resample_label,
)
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.inverse_error import places_around

__all__ = ["AnswerFrame", "affine_part", "moved_outcome", "transform_outcome"]


@dataclass(frozen=True, eq=False)
class AnswerFrame:
    """Where answers to one pair are measured: the boxes in which `register` would see the two vertebrae.

    Attributes:
        fixed_label: (X, Y, Z) bool, on `box`.
        box: The fixed vertebra's network grid.
        moving_box: The moving one's.
        moving_seg: The moving label map, the vertebra alone.
        notes: Warnings about the two.
    """

    fixed_label: np.ndarray
    box: Grid
    moving_box: Grid
    moving_seg: Image
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        fixed_seg: Image,
        moving_seg: Image,
        fixed_grid: Grid | None = None,
        moving_grid: Grid | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> "AnswerFrame":
        """The frame of two label maps that hold the vertebra alone.

        Args:
            fixed_seg: Label map.
            moving_seg: Label map.
            fixed_grid: Of the fixed CT, where that is not the label map's: a box lies on its lattice.
            moving_grid: Likewise.
            shape: Of the boxes, voxels of 1 mm; None is the networks' own.

        Raises:
            InputError: As `anatomy.vertebra.extract`.
        """
        fixed, moving = (
            extract(_stand_in(seg, grid or seg.grid), seg, shape=shape or NETWORK_SHAPE)
            for seg, grid in ((fixed_seg, fixed_grid), (moving_seg, moving_grid))
        )
        assert fixed.label is not None
        return cls(fixed.label, fixed.grid, moving.grid, moving_seg, (*fixed.notes, *moving.notes))


def _stand_in(seg: Image, grid: Grid) -> Image:
    """An image of ones: only its grid counts."""
    return Image(np.ones(grid.shape, np.float32), grid, seg.name)


def transform_outcome(
    frame: AnswerFrame,
    transform: Transform,
    affine: Affine | None = None,
    inverse: Transform | None = None,
    seconds: float = float("nan"),
) -> Outcome:
    """The outcome of a transform, fixed RAS mm -> moving RAS mm.

    Args:
        frame: Of the pair.
        transform: The whole answer.
        affine: Its affine part alone; None takes `affine_part`.
        inverse: Its inverse, moving -> fixed, if its error and folds shall be measured.
        seconds: That it took.
    """
    affine = affine_part(transform) if affine is None else affine
    transforms: dict[str, Transform] = {"before": _centred(frame)}
    if affine is not None:
        transforms["affine"] = affine
    transforms["deformable"] = transform
    seg = frame.moving_seg
    labels = {stage: resample_label(seg.data > 0, seg.grid, frame.box, step) for stage, step in transforms.items()}
    errors = np.array([np.nan])
    if inverse is not None:
        points = frame.box.index_to_points(places_around(frame.fixed_label))
        errors = metrics.target_registration_error(inverse.apply(transform.apply(points)), points)
    return Outcome(
        fixed_label=frame.fixed_label,
        spacing=frame.box.spacing,
        labels=labels,
        displacement=transform.to_displacement(lattice_beyond(frame.box, beyond=DOMAIN_MM)).displacement,
        seconds=seconds,
        inverse_error_mm=float(errors.mean()),
        inverse_error_max_mm=float(errors.max()),
        notes=frame.notes,
        box=frame.box,
        transforms=transforms,
        inverse=inverse,
        moving_box=frame.moving_box,
    )


def moved_outcome(frame: AnswerFrame, moved: Image, seconds: float = float("nan")) -> Outcome:
    """The outcome of a label map that another tool moved: how it overlaps, and nothing of its transform.

    Where its grid is not the box's it is interpolated once more, linearly, and cut at 0.5.

    Args:
        frame: Of the pair.
        moved: The moved label map, the vertebra alone, on whatever grid in the fixed scan's frame.
        seconds: That it took.

    Raises:
        InputError: The label lies outside of the box.
    """
    before, seg = _centred(frame), frame.moving_seg
    label = resample_label(moved.data > 0, moved.grid, frame.box)
    if not label.any():
        raise InputError(f"{moved.name}: its label does not reach the fixed vertebra; is it in the fixed scan's frame?")
    return Outcome(
        fixed_label=frame.fixed_label,
        spacing=frame.box.spacing,
        labels={"before": resample_label(seg.data > 0, seg.grid, frame.box, before), "deformable": label},
        displacement=None,
        seconds=seconds,
        notes=frame.notes,
        box=frame.box,
        transforms={"before": before},
    )


def affine_part(transform: Transform) -> Affine | None:
    """The affine part of a transform that bends first and is affine then, as ours and ANTs's are; None of any other."""
    parts = transform.parts if isinstance(transform, Composite) else (transform,)
    after = [part for part in parts if isinstance(part, Affine)]
    if not after or any(isinstance(part, Affine) for part in parts[: len(parts) - len(after)]):
        return None
    matrix = np.eye(4)
    for part in after:
        matrix = part.matrix @ matrix
    return Affine(matrix)


def _centred(frame: AnswerFrame) -> Affine:
    return affine_from_network(np.eye(3, 4), frame.box, frame.moving_box)
