"""Coherent Point Drift (Myronenko and Song, IEEE PAMI 2010) on surface points, through biocpd."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side
from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.distance import surface_points

# Voxels between the points at which the field is computed; the kernel is several times as wide.
_STEP = 2


@dataclass(frozen=True)
class CPDPeer(Peer):
    """CPD's similarity, affine and deformation: the anchor of methods that see the labels' surfaces and no image.

    The fixed surface's points drift to the moving one's. The field between and beyond them is CPD's own model of
    motion, v(p) = sum_i G(p, y_i) w_i, with its Gaussian kernel G: computed at every second voxel and interpolated by
    cubic splines. CPD asks of it neither to be one-to-one nor to have an inverse.

    Args:
        points: Drawn at random from each surface, at most.
        alpha: Weight of the motion's coherence.
        beta: Width of the kernel, mm.
        outliers: Share of points that have no counterpart, w.
        iterations: At most, of each stage.
    """

    points: int = 2000
    alpha: float = 0.5
    beta: float = 8.0
    outliers: float = 0.0
    iterations: int = 100

    module: ClassVar[str] = "biocpd"
    package: ClassVar[str] = "biocpd"

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register the surfaces."""
        import biocpd

        begun = time.perf_counter()
        source, target = (self._points(side) for side in (fixed, moving))
        settings = {"w": self.outliers, "max_iterations": self.iterations}
        # The affine alone stops at a wrong turn of the vertebra; a similarity finds the right one.
        turned, (scale, turn, way) = biocpd.RigidRegistration(X=target, Y=source, **settings).register()
        _, (matrix, shift) = biocpd.AffineRegistration(X=target, Y=turned, use_kdtree=False, **settings).register()
        matrix, shift = scale * turn @ matrix, way @ matrix + shift
        # The deformation comes before the affine, so it drifts to what the affine takes to the moving surface.
        drift = biocpd.DeformableRegistration(
            X=(target - shift) @ np.linalg.inv(matrix),
            Y=source,
            alpha=self.alpha,
            beta=self.beta,
            low_rank=False,
            use_kdtree=False,
            dtype=np.float64,
            **settings,
        )
        drift.register()
        affine = np.column_stack([matrix.T, np.ravel(shift) / fixed.spacing])
        phi = _dense(source, drift.W, self.beta, grid.shape, fixed.spacing)
        return Alignment(affine, phi, None, time.perf_counter() - begun)

    def _points(self, side: Side) -> np.ndarray:
        """Points (N, 3) of a surface, mm about the grid's centre."""
        points = (surface_points(side.distance()) - (np.array(side.share.shape) - 1) / 2) * side.spacing
        return points[np.random.default_rng(0).permutation(len(points))[: self.points]]


def _dense(points: np.ndarray, weights: np.ndarray, beta: float, shape: tuple[int, ...], spacing: float) -> np.ndarray:
    """Displacements (X, Y, Z, 3), voxels, of a sum of Gaussians about points (N, 3), mm from the grid's centre."""
    axes = [np.arange(0, side + _STEP, _STEP) for side in shape]
    # The kernel is a product over the axes.
    kernels = [
        np.exp(-((((axis - (side - 1) / 2) * spacing)[:, None] - points[:, i]) ** 2) / (2 * beta**2))
        for i, (axis, side) in enumerate(zip(axes, shape, strict=True))
    ]
    x, y, z = kernels
    coarse = np.empty((len(x), len(y), len(z), 3))
    for i, row in enumerate(x):
        coarse[i] = np.einsum("yn,zn,nc->yzc", y * row, z, weights / spacing, optimize=True)
    at = np.stack(np.meshgrid(*(np.arange(side) / _STEP for side in shape), indexing="ij"))
    fine = [ndimage.map_coordinates(coarse[..., c], at, order=3, mode="nearest", output=np.float32) for c in range(3)]
    return np.stack(fine, axis=-1)


PEERS = (CPDPeer("cpd-surface"),)
