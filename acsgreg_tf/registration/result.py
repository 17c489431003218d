"""What a registration returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from acsgreg_tf.anatomy.vertebra import Vertebra
from acsgreg_tf.geometry import Affine, Composite
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.deformation import Deformation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The moving vertebra with centres laid on each other, after the affine, and after both parts.
STAGES = ("before", "affine", "deformable")


@dataclass(frozen=True, eq=False)
class Result:
    """A registration's outputs. Transforms are in RAS mm and pull: fixed -> moving.

    Attributes:
        moved: The moving image on the fixed image's grid, an Image with float32 data. It is the whole image, not
            masked, sampled once (linearly) through `transform`. Where the moving image does not reach: -1024 (air) for
            a CT, which has negative values, else the moving image's least value.
        moved_seg: The moving vertebra's label, likewise (its interpolated mask cut at 0.5), or None.
        transform: Composite of the deformable part and the affine, fixed RAS mm -> moving RAS mm. The deformable part
            fades to zero 22 mm from the fixed vertebra; beyond it there is the affine alone.
        inverse: Its inverse, moving RAS mm -> fixed RAS mm, from `Deformation.inverse` and the inverse affine.
        affine: The affine part alone, fixed RAS mm -> moving RAS mm.
        deformation: Affine and velocity in network space, on a lattice that reaches beyond the box; `deformation.phi`
            is the whole displacement.
        fixed, moving: Each Vertebra as the network saw it.
        images: {"before", "affine", "deformable"}: the moving Vertebra's image (X, Y, Z) on the fixed vertebra's grid,
            centres laid on each other, after the affine, after both.
        labels: The moving label (X, Y, Z), bool, likewise, or None unless both labels were there.
        summary: Plain numbers and words about it, ready for json; `register` lists them.
        network_affine: As `affine`, the network's own, before it was fitted or refined; None without a network.
    """

    moved: Image
    moved_seg: Image | None
    transform: Composite
    inverse: Transform
    affine: Affine
    deformation: Deformation
    fixed: Vertebra
    moving: Vertebra
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] | None
    summary: dict[str, Any]
    network_affine: Affine | None = None

    @property
    def velocity(self) -> np.ndarray:
        """(x, y, z, 3) float32, stationary, in the box, voxels of its own lattice; smoothed where it folded."""
        return self.deformation.box_velocity

    @property
    def displacement(self) -> np.ndarray:
        """(X, Y, Z, 3) float32, phi = exp(v) in the box, voxels of the fixed vertebra's grid."""
        return self.deformation.in_box(self.deformation.phi)

    def figure(self, title: str | None = None) -> "Figure":
        """A matplotlib Figure of the vertebra before and after; write it with `registration.figure.save_figure`."""
        from acsgreg_tf.registration.figure import registration_figure

        labels = None
        if self.labels is not None and self.fixed.label is not None:
            moving, moved = self.labels["before"], self.labels["deformable"]
            labels = {"fixed": self.fixed.label, "moving": moving, "moved": moved}
        before, affine, final = (self.images[stage] for stage in STAGES)
        return registration_figure(
            self.fixed.image, before, affine, final, self.displacement, labels, title=title, hu=True
        )
