"""Sums over cubic windows, the inside of LNCC."""

from keras import ops

from acsgreg_tf.ops.compiled import with_gradient


def _box_sum(values, *, window):
    radius = window // 2
    for axis in range(1, len(values.shape) - 1):
        side = values.shape[axis]
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(len(values.shape))]
        padded = ops.pad(values, padding)
        before = (slice(None),) * axis
        values = sum(padded[(*before, slice(i, i + side))] for i in range(window))
    return values


def _box_sum_gradient(values, upstream, *, window):
    # The window is symmetric and the padding zero, so the sum is its own adjoint.
    return _box_sum(upstream, window=window)


_summed = with_gradient(_box_sum, _box_sum_gradient)


def box_sum(values, window):
    """Sum of each channel over the cube of `window` voxels a side (odd) round each voxel; zeros outside.

    [B, X, Y, Z, C] -> the same shape. Shifted slices, an axis at a time: average pooling has a gradient on the CPU so
    slow that it looks hung.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    return _summed(values, window=window)
