"""Two vertebrae in network space, and the outcome of a transform between them."""

from dataclasses import dataclass

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.vertebra import extract
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.measures import Outcome
from acsgreg_tf.evaluation.pairs import Pair, pair_labels
from acsgreg_tf.geometry import Composite, Grid, Transform, affine_from_network, field_from_network, resample_label
from acsgreg_tf.io.images import Image, as_image
from acsgreg_tf.registration import STAGES


@dataclass(frozen=True, eq=False)
class BoxedPair:
    """The images that a method sees, and what its transform is measured with.

    Attributes:
        fixed: (X, Y, Z) float32 in [0, 1], 0 outside the vertebra.
        fixed_label: (X, Y, Z) bool.
        fixed_grid: Where both lie.
        moving: (X, Y, Z) like `fixed`, on a grid of its own.
        moving_grid: That grid.
        moving_seg: The moving label map in its own space, the vertebra alone.
        shares: How much of each voxel of the fixed and of the moving image is vertebra, (X, Y, Z) each.
        notes: Warnings about the two, a line each.
    """

    fixed: np.ndarray
    fixed_label: np.ndarray
    fixed_grid: Grid
    moving: np.ndarray
    moving_grid: Grid
    moving_seg: Image
    shares: tuple[np.ndarray, np.ndarray]
    notes: tuple[str, ...] = ()

    @classmethod
    def extracted(cls, pair: Pair, shape: tuple[int, ...]) -> "BoxedPair":
        """The crops of 1 mm that a network of this shape gets, out of scans or crops of any grid."""
        fixed_seg, moving_seg = pair_labels(pair)
        fixed = extract(as_image(pair["fixed"]), fixed_seg, shape=shape)
        moving = extract(as_image(pair["moving"]), moving_seg, shape=shape)
        assert fixed.label is not None  # of a vertebra extracted with a label map
        notes = (*fixed.notes, *moving.notes)
        shares = fixed.share, moving.share
        return cls(fixed.image, fixed.label, fixed.grid, moving.image, moving.grid, moving_seg, shares, notes)

    @classmethod
    def of_crops(cls, pair: Pair) -> "BoxedPair":
        """Crops as they are, whatever their spacing.

        Raises:
            InputError: A label map does not lie on its image's grid.
        """
        fixed, moving = as_image(pair["fixed"]), as_image(pair["moving"])
        fixed_seg, moving_seg = pair_labels(pair)
        for image, seg in ((fixed, fixed_seg), (moving, moving_seg)):
            if not seg.grid.isclose(image.grid):
                raise InputError(f"{seg.name}: does not lie on the grid of {image.name}")
        masks = fixed_seg.data > 0, moving_seg.data > 0
        shares = masks[0].astype(np.float32), masks[1].astype(np.float32)
        return cls(fixed.data, masks[0], fixed.grid, moving.data, moving.grid, moving_seg, shares)

    def outcome(
        self, affine: np.ndarray, displacement: np.ndarray, inverse: np.ndarray | None, seconds: float
    ) -> Outcome:
        """The outcome of a transform p_fixed -> phi -> A -> moving.

        Args:
            affine: A, (3, 4), voxels about the grid's centre.
            displacement: Phi, (X, Y, Z, 3), voxels.
            inverse: Phi's inverse likewise, or None.
            seconds: Time that the registration took.
        """
        start, after = (affine_from_network(m, self.fixed_grid, self.moving_grid) for m in (np.eye(3, 4), affine))
        whole = Composite([field_from_network(displacement, self.fixed_grid, inverse), after])
        transforms: tuple[Transform, ...] = (start, after, whole)
        mask, seg, spacing = self.moving_seg.data > 0, self.moving_seg, self.fixed_grid.spacing
        error = metrics.InverseConsistency(float("nan"), float("nan"))
        if inverse is not None:
            inside = self.fixed > 0
            error = metrics.inverse_consistency_error(displacement, inverse, spacing=spacing, mask=inside)
        return Outcome(
            fixed_label=self.fixed_label,
            spacing=spacing,
            labels={
                stage: resample_label(mask, seg.grid, self.fixed_grid, transform)
                for stage, transform in zip(STAGES, transforms, strict=True)
            },
            displacement=displacement,
            seconds=seconds,
            inverse_error_mm=error.mean,
            inverse_error_max_mm=error.maximum,
            notes=self.notes,
            box=self.fixed_grid,
            transforms=dict(zip(STAGES, transforms, strict=True)),
            inverse=None if inverse is None else whole.inverse(),
            moving_box=self.moving_grid,
        )
