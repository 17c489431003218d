"""The losses of section 2.2 as Keras losses; each is a mean over voxels, one value a sample.

y_true is the fixed side, y_pred the warped side, [B, X, Y, Z, C]. Smaller is better.
"""

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from acsgreg_tf.ops import PACKAGE, Tensor
from acsgreg_tf.ops.backend import compiled, with_gradient
from acsgreg_tf.ops.windows import box_sum

# lambda_1 ... lambda_5 of Eq. 9: L_a, L_d, L_smooth, L_a_seg, L_d_seg.
PAPER_LAMBDAS = (0.3, 0.7, 0.001, 0.01, 0.1)


def _mean_per_sample(values: Tensor) -> Tensor:
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)


@compiled
def _powers(fixed: Tensor) -> Tensor:
    return ops.concatenate([fixed, fixed * fixed], axis=-1)


@compiled
def _products(warped: Tensor, fixed: Tensor) -> Tensor:
    return ops.concatenate([warped, warped * warped, warped * fixed], axis=-1)


@compiled
def _correlation(products: Tensor, powers: Tensor, *, count: float, signed: bool, epsilon: float) -> Tensor:
    w, ww, fw = (products[..., i : i + 1] for i in range(3))
    f, ff = powers[..., :1], powers[..., 1:]
    cross = fw - f * w / count
    f_variance = ops.maximum(ff - f * f / count, 0.0)
    w_variance = ops.maximum(ww - w * w / count, 0.0)
    squared = cross * (ops.abs(cross) if signed else cross)
    return squared / (f_variance * w_variance + epsilon)


def local_correlation(
    fixed: Tensor,
    warped: Tensor,
    window: int = 9,
    signed: bool = False,
    epsilon: float = 1e-5,
) -> Tensor:
    """Squared local normalised cross-correlation round each voxel (Eq. 5), 0 to 1: [B, X, Y, Z, 1].

    Args:
        fixed: [B, X, Y, Z, 1].
        warped: [B, X, Y, Z, 1].
        window: Side n of the cube, odd.
        signed: Keep the correlation's sign, so that an inverted window scores -1 rather than 1.
        epsilon: Added to the product of the variances (sums over the window, squared); a window that is constant in
            either image scores 0, where voxelmorph's scores 1.

    Raises:
        ValueError: Images of more than one channel, or an even window.
    """
    if fixed.shape[-1] != 1 or warped.shape[-1] != 1:
        raise ValueError(f"LNCC takes images of one channel, got {fixed.shape[-1]} and {warped.shape[-1]}")
    powers = box_sum(_powers(fixed), window)
    products = box_sum(_products(warped, fixed), window)
    return _correlation(products, powers, count=float(window**3), signed=signed, epsilon=epsilon)


def foreground_windows(fixed: Tensor, window: int = 9) -> Tensor:
    """1 where the window round a voxel holds non-zero voxels of the fixed image, else 0: [B, X, Y, Z, C]."""
    return ops.cast(box_sum(ops.cast(ops.not_equal(fixed, 0.0), "float32"), window) > 0.5, "float32")


def _steps(field: Tensor) -> Iterator[tuple[int, Tensor, float]]:
    """Forward differences along each axis, with the weight that makes their squares a mean over voxels."""
    for axis in range(1, len(field.shape) - 1):
        before = (slice(None),) * axis
        step = field[(*before, slice(1, None))] - field[(*before, slice(None, -1))]
        voxels = max(math.prod(step.shape[1:-1]), 1)  # along an axis of one voxel there are no steps
        yield axis, step, 1.0 / voxels


def _roughness_sum(field: Tensor) -> Tensor:
    total: Tensor = 0.0
    for _, step, weight in _steps(field):
        total = total + weight * ops.sum(ops.square(step), axis=tuple(range(1, len(step.shape))))
    return total


def _roughness_gradient(field: Tensor, upstream: Tensor) -> Tensor:
    total: Tensor = 0.0
    upstream = ops.reshape(upstream, (-1,) + (1,) * (len(field.shape) - 1))
    for axis, step, weight in _steps(field):
        after = [(1, 0) if a == axis else (0, 0) for a in range(len(field.shape))]
        ahead = [(0, 1) if a == axis else (0, 0) for a in range(len(field.shape))]
        total = total + weight * (ops.pad(step, after) - ops.pad(step, ahead))
    return 2.0 * upstream * total


_roughness = with_gradient(_roughness_sum, _roughness_gradient)


@keras.saving.register_keras_serializable(PACKAGE)
class LNCC(keras.losses.Loss):
    """Minus the local normalised cross-correlation (Eqs. 5 and 6): -1 where images match up to local scale and shift.

    Args:
        window: Side of the cubic window, odd.
        foreground: Average only over the windows that hold some of the fixed image (its non-zero voxels). Masked
            vertebrae are mostly empty, and empty windows would dominate the mean.
        signed: See `local_correlation`. Unsigned is Eq. 5; the gradient of an anti-correlated window is never cut off.
    """

    def __init__(
        self, window: int = 9, foreground: bool = True, signed: bool = False, name: str = "lncc", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.window = window
        self.foreground = foreground
        self.signed = signed

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        score = local_correlation(y_true, y_pred, self.window, self.signed)
        if not self.foreground:
            return -_mean_per_sample(score)
        here = foreground_windows(y_true, self.window)
        # The other windows score exactly 0, since the fixed image is empty there; they must not be counted.
        return -_mean_per_sample(score) / ops.maximum(_mean_per_sample(here), 1e-6)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "window": self.window,
            "foreground": self.foreground,
            "signed": self.signed,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class MeanSquaredDifference(keras.losses.Loss):
    """Mean over voxels of (f - w)^2; voxelmorph's `mse` image loss."""

    def __init__(self, name: str = "mse", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _mean_per_sample(ops.square(y_true - y_pred))


@keras.saving.register_keras_serializable(PACKAGE)
class Diffusion(keras.losses.Loss):
    """Diffusion regulariser of a displacement (Eq. 7); y_true is not used.

    Mean over voxels of the squared forward differences, summed over the three axes and the three components
    (voxelmorph's Grad('l2') divides by those nine).
    """

    def __init__(self, name: str = "diffusion", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _roughness(y_pred)


@keras.saving.register_keras_serializable(PACKAGE)
class SoftDice(keras.losses.Loss):
    """1 - Dice of soft labels (0 to 1; Eq. 8), averaged over channels. Two empty labels score 0, a match."""

    def __init__(self, name: str = "dice", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        axes = tuple(range(1, len(y_pred.shape) - 1))
        overlap = 2.0 * ops.sum(y_true * y_pred, axis=axes)
        size = ops.sum(y_true, axis=axes) + ops.sum(y_pred, axis=axes)
        return ops.mean(1.0 - (overlap + 1e-6) / (size + 1e-6), axis=-1)


@compiled
def rounded_difference(a: Tensor, b: Tensor) -> Tensor:
    """sqrt(1/4 + (a - b)^2) - 1/2: squared for small misses, absolute for those of more than half a voxel."""
    return ops.sqrt(0.25 + ops.square(a - b)) - 0.5


@keras.saving.register_keras_serializable(PACKAGE)
class SurfaceDistance(keras.losses.Loss):
    """How far the warped surface is from the fixed one, in voxels, from signed distances (negative inside).

    The rounded difference of the two distances, summed over all voxels and divided by the number near the fixed
    surface. Its gradient is non-zero wherever the surfaces differ and as far as the distances reach, where that of
    masks (`SoftDice`) is so at their edges only.
    """

    # Distance, in voxels, within which a voxel is near the surface.
    NEAR = 2.0

    def __init__(self, name: str = "surface_distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        near = _mean_per_sample(ops.cast(ops.abs(y_true) < self.NEAR, "float32"))
        return _mean_per_sample(rounded_difference(y_true, y_pred)) / ops.maximum(near, 1e-6)


LABEL_LOSSES = {"dice": SoftDice, "distance": SurfaceDistance}
IMAGE_LOSSES = {"lncc": LNCC, "ncc": LNCC, "mse": MeanSquaredDifference}
