"""The base class of other registration tools: each is a method that gets the crops a network would get."""

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.boxed_pair import BoxedPair
from acsgreg_tf.evaluation.measures import Outcome
from acsgreg_tf.evaluation.pairs import Pair
from acsgreg_tf.geometry import NETWORK_SHAPE, Grid, network_grid


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


@dataclass(frozen=True)
class Peer(ABC):
    """Another registration tool, as a Method.

    It gets two crops on one common grid, the vertebrae's centres laid on each other, and no labels or masks.

    Args:
        name: What tables and `test.py --method` call it.
        shape: Shape of the crops, 1 mm.
    """

    name: str
    shape: tuple[int, ...] = NETWORK_SHAPE

    module: ClassVar[str]  # what is imported: "ants"
    package: ClassVar[str]  # what pip installs: "antspyx"

    @abstractmethod
    def align_on(self, grid: Grid, fixed: np.ndarray, moving: np.ndarray) -> Alignment:
        """Register two float32 images (X, Y, Z) that lie on `grid`."""

    def align(self, fixed: np.ndarray, moving: np.ndarray, spacing: float = 1.0) -> Alignment:
        """Register two vertebrae.

        Args:
            fixed: (X, Y, Z), background 0.
            moving: Of the same shape, the vertebrae's centres laid on each other.
            spacing: Side of a voxel, mm.

        Raises:
            InputError: The tool is not installed, or shapes differ.
            RuntimeError: The tool failed.
        """
        self.check()
        fixed, moving = np.asarray(fixed, np.float32), np.asarray(moving, np.float32)
        if fixed.ndim != 3 or fixed.shape != moving.shape:
            raise InputError(f"images: shapes {fixed.shape} and {moving.shape} are not one shape (X, Y, Z)")
        return self.align_on(network_grid((0, 0, 0), fixed.shape, spacing), fixed, moving)

    def check(self) -> None:
        """Raise InputError unless the tool is installed."""
        if importlib.util.find_spec(self.module) is None:
            raise InputError(f"method {self.name}: needs {self.package}, which pip install 'acsgreg_tf[peers]' brings")

    def made_by(self) -> str:
        """The package and its version, such as "antspyx 0.6.3".

        Raises:
            InputError: It is not installed.
        """
        self.check()
        return f"{self.package} {importlib.metadata.version(self.package)}"

    def run(self, pair: Pair) -> Outcome:
        """Register one pair."""
        crops = BoxedPair.extracted(pair, self.shape)
        result = self.align(crops.fixed, crops.moving)
        return crops.outcome(result.affine, result.displacement, result.inverse, result.seconds)
