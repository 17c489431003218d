"""Sums over cubic windows, which LNCC is made of."""

from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import with_gradient


def _axis_sum(values: Tensor, *, axis: int, window: int) -> Tensor:
    side, radius = values.shape[axis], window // 2
    padding = [(radius, radius) if a == axis else (0, 0) for a in range(len(values.shape))]
    padded = ops.pad(values, padding)
    before = (slice(None),) * axis
    return sum(padded[(*before, slice(i, i + side))] for i in range(window))


def _axis_sum_gradient(values: Tensor, upstream: Tensor, *, axis: int, window: int) -> Tensor:
    # The window is symmetric and the padding zero, so the sum is its own adjoint.
    return _axis_sum(upstream, axis=axis, window=window)


_summed_along = with_gradient(_axis_sum, _axis_sum_gradient)


def box_sum(values: Tensor, window: int) -> Tensor:
    """Sum of each channel over the cube of `window` voxels a side (odd) round each voxel; zeros outside.

    [B, X, Y, Z, C] -> the same shape. Sums of shifted slices: the gradient of average pooling is far slower on the CPU.

    Raises:
        ValueError: An even window, or one below 1.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    # An axis at a time, each compiled apart: in one program XLA would compute the inner sums again for every outer one.
    for axis in range(1, len(values.shape) - 1):
        values = _summed_along(values, axis=axis, window=window)
    return values
