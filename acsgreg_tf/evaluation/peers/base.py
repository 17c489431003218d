"""The base class of other registration tools: each is a method that gets the crops a network would get."""

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.boxed_pair import BoxedPair
from acsgreg_tf.evaluation.measures import Outcome
from acsgreg_tf.evaluation.pairs import Pair
from acsgreg_tf.geometry import NETWORK_SHAPE, Grid, network_grid
from acsgreg_tf.geometry.distance import from_crop


@dataclass(frozen=True, eq=False)
class Alignment:
    """A tool's transform of one pair in the networks' terms: p_fixed -> phi -> A -> moving, voxels, pull.

    Attributes:
        affine: A, (3, 4) about the grid's centre; the identity where the tool has no such stage.
        displacement: Phi, (X, Y, Z, 3); zero for an affine tool.
        inverse: Phi's inverse, (X, Y, Z, 3), or None where the tool computes none.
        seconds: Time of the registration itself, from arrays to transform.
    """

    affine: np.ndarray
    displacement: np.ndarray
    inverse: np.ndarray | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Side:
    """One vertebra of a pair, on the grid that both lie on: the images that a tool may be given.

    Attributes:
        image: (X, Y, Z) float32 in [0, 1], 0 outside the vertebra.
        share: (X, Y, Z) float32, how much of each voxel is vertebra: the label, interpolated linearly.
        spacing: Side of a voxel, mm.
    """

    image: np.ndarray
    share: np.ndarray
    spacing: float = 1.0

    def distance(self, reach: float = np.inf) -> np.ndarray:
        """Signed distance (X, Y, Z) to the vertebra's surface, mm, negative inside, cut at `reach`.

        Raises:
            InputError: The vertebra has no surface.
        """
        distance = from_crop(self.share)
        if distance is None:
            raise InputError("labels: a vertebra has no surface, its label is empty or fills the grid")
        return np.clip(distance * self.spacing, -reach, reach).astype(np.float32)


@dataclass(frozen=True)
class Peer(ABC):
    """Another registration tool, as a Method.

    It gets two crops on one common grid, the vertebrae's centres laid on each other, each with its label; what of it
    a tool looks at is the subclass's choice, which its docstring states.

    Args:
        name: What tables and `test.py --method` call it.
        shape: Shape of the crops, 1 mm.
    """

    name: str
    shape: tuple[int, ...] = NETWORK_SHAPE

    module: ClassVar[str]  # what is imported: "ants"
    package: ClassVar[str]  # what pip installs: "antspyx"

    @abstractmethod
    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register two vertebrae that lie on `grid`."""

    def align(
        self,
        fixed: np.ndarray,
        moving: np.ndarray,
        spacing: float = 1.0,
        shares: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Alignment:
        """Register two vertebrae.

        Args:
            fixed: (X, Y, Z), background 0.
            moving: Of the same shape, the vertebrae's centres laid on each other.
            spacing: Side of a voxel, mm.
            shares: How much of each voxel of the two is vertebra; None takes where the images are not 0.

        Raises:
            InputError: The tool is not installed, or shapes differ.
            RuntimeError: The tool failed.
        """
        self.check()
        images = [np.asarray(image, np.float32) for image in (fixed, moving)]
        masks = [np.asarray(share, np.float32) for share in shares or [image != 0 for image in images]]
        shapes = [volume.shape for volume in (*images, *masks)]
        if len(shapes[0]) != 3 or len(set(shapes)) > 1:
            raise InputError(f"images: shapes {', '.join(map(str, shapes))} are not one shape (X, Y, Z)")
        sides = (Side(image, mask, spacing) for image, mask in zip(images, masks, strict=True))
        return self.align_on(network_grid((0, 0, 0), shapes[0], spacing), *sides)

    def check(self) -> None:
        """Raise InputError unless the tool is installed."""
        if importlib.util.find_spec(self.module) is None:
            raise InputError(f"method {self.name}: needs {self.package}; in a clone: pip install '.[peers]'")

    def made_by(self) -> str:
        """The package, its version and the peer's settings, such as "antspyx 0.6.3, kind='Affine', options=()".

        Raises:
            InputError: It is not installed.
        """
        self.check()
        own = [field.name for field in fields(self) if field.name not in ("name", "shape") and field.compare]
        settings = [f"{name}={getattr(self, name)!r}" for name in own]
        return ", ".join([f"{self.package} {importlib.metadata.version(self.package)}", *settings])

    def run(self, pair: Pair) -> Outcome:
        """Register one pair."""
        crops = BoxedPair.extracted(pair, self.shape)
        result = self.align(crops.fixed, crops.moving, shares=crops.shares)
        return crops.outcome(result.affine, result.displacement, result.inverse, result.seconds)
