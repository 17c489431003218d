"""Displacement and velocity fields: warp, composition, integration, inversion, resizing, fold penalty.

A displacement u is [B, X, Y, Z, 3] in voxels of its own grid and pulls: out(x) = image(x + u(x)). All functions take
any number N of spatial axes, with N components last.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import compiled, with_gradient
from acsgreg_tf.ops.sampling import linear, linear_gradient, linear_gradient_by_volume, sample


def identity_grid(shape: Sequence[int]) -> Tensor:
    """Voxel coordinates of a grid of this shape: [1, X, Y, Z, N], float32."""
    axes = [ops.arange(side, dtype="float32") for side in shape]
    return ops.stack(ops.meshgrid(*axes, indexing="ij"), axis=-1)[None]


def warp(
    image: Tensor,
    displacement: Tensor,
    method: str = "linear",
    fill_value: float | None = None,
    constant: bool = False,
) -> Tensor:
    """out(x) = image(x + u(x)): [B, x, y, z, C] on the displacement's grid. Options as in `sample`."""
    locations = identity_grid(displacement.shape[1:-1]) + ops.cast(displacement, "float32")
    return sample(image, locations, method, fill_value, constant)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The displacement of x -> outer(inner(x)): u = inner + outer(x + inner(x)); both [B, X, Y, Z, N]."""
    return ops.convert_to_tensor(inner) + warp(outer, inner)


def _square(field: Tensor) -> Tensor:
    return field + linear(field, identity_grid(field.shape[1:-1]) + field, fill_value=None)


def _square_gradient(field: Tensor, upstream: Tensor) -> Tensor:
    locations = identity_grid(field.shape[1:-1]) + field
    by_field, by_location = linear_gradient(field, locations, upstream, fill_value=None)
    return upstream + by_field + by_location


_squared = with_gradient(_square, _square_gradient)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """exp(v) by scaling and squaring (Arsigny et al. 2006; the paper's integration layer).

    Args:
        velocity: [B, X, Y, Z, N], stationary, voxels.
        steps: Number of squarings; 0 returns the velocity itself.

    Returns:
        Displacement, same shape and unit. exp(-v) is `integrate(-velocity)`.
    """
    field = ops.cast(velocity, "float32") / 2.0**steps
    # Squaring by squaring: XLA makes one step fast and all of them in one program slow.
    for _ in range(steps):
        field = _squared(field)
    return field


def linear_matrix(old: int, new: int) -> np.ndarray:
    """[new, old] weights of linear interpolation between grids whose first and last voxels coincide."""
    return weights_at(np.linspace(0.0, old - 1.0, new), old)


def weights_at(position: np.ndarray, size: int) -> np.ndarray:
    """[len(position), size] weights of linear interpolation at positions (voxels) along an axis of `size` voxels."""
    rows = np.arange(len(position))
    lower = np.clip(np.floor(position), 0, max(size - 2, 0)).astype(int)
    matrix = np.zeros((len(position), size), "float32")
    matrix[rows, lower] = 1.0 - (position - lower)
    if size > 1:
        matrix[rows, lower + 1] = position - lower
    return matrix


def resize(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Linear resampling of [B, x, y, z, C] to spatial `shape`, corner voxels on corner voxels (as neurite's resize)."""
    for axis, (old, new) in enumerate(zip(values.shape[1:-1], shape, strict=True), start=1):
        if old != new:
            values = ops.moveaxis(ops.tensordot(values, linear_matrix(old, new), axes=([axis], [1])), -1, axis)
    return values


def resize_by(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Linear resampling of [B, x, y, z, C] by a matrix [new, old] an axis, such as `linear_matrix` or rows of it."""
    for axis, matrix in enumerate(matrices, start=1):
        values = ops.moveaxis(ops.tensordot(values, matrix, axes=([axis], [1])), -1, axis)
    return values


def resize_displacement(displacement: Tensor, shape: Sequence[int]) -> Tensor:
    """A displacement on a grid of another size: resampled, and scaled from old voxels to new voxels.

    The scale is (new - 1) / (old - 1) an axis, exact for grids whose corner voxels coincide, so that exp(v) and exp(-v)
    stay each other's inverse after resizing.
    """
    displacement = ops.convert_to_tensor(displacement)
    old = displacement.shape[1:-1]
    scale = [(new - 1) / (was - 1) if was > 1 else 1.0 for new, was in zip(shape, old, strict=True)]
    return resize(displacement, shape) * ops.convert_to_tensor(scale, dtype=displacement.dtype)


def _gradient_matrix(displacement: Tensor) -> Tensor:
    """du_c/dx_a at voxels, central differences (one-sided at the border): [B, X, Y, Z, N*N], row c, column a."""
    rank = displacement.shape[-1]
    columns = []
    for axis in range(1, rank + 1):
        before = (slice(None),) * axis
        step = displacement[(*before, slice(1, None))] - displacement[(*before, slice(None, -1))]
        first, last = step[(*before, slice(None, 1))], step[(*before, slice(-1, None))]
        doubled = ops.concatenate([first, step], axis=axis) + ops.concatenate([step, last], axis=axis)
        columns.append(0.5 * doubled)
    return ops.reshape(ops.stack(columns, axis=-1), (*ops.shape(displacement)[:-1], rank * rank))


def _determinant(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _solve(rows: Sequence[Sequence[Tensor]], right: Sequence[Tensor]) -> Tensor:
    """Cramer's rule at every voxel; 0 where the matrix is nearly singular or its determinant negative."""
    determinant = _determinant(rows)
    sound = determinant > 0.05
    safe = ops.where(sound, determinant, 1.0)
    solution = []
    for column in range(len(rows)):
        replaced = [[*row[:column], r, *row[column + 1 :]] for row, r in zip(rows, right, strict=True)]
        solution.append(ops.where(sound, _determinant(replaced) / safe, 0.0))
    return ops.stack(solution, axis=-1)


@compiled
def _newton_step(inverse: Tensor, displacement: Tensor, slopes: Tensor) -> Tensor:
    """One step of Newton's method at each voxel, taken where it brings the point closer."""
    rank = displacement.shape[-1]
    grid = identity_grid(displacement.shape[1:-1])
    sampled = linear(ops.concatenate([displacement, slopes], axis=-1), grid + inverse, fill_value=None)
    miss = inverse + sampled[..., :rank]
    rows = [
        [sampled[..., rank * (row + 1) + column] + (1.0 if row == column else 0.0) for column in range(rank)]
        for row in range(rank)
    ]
    step = _solve(rows, [miss[..., c] for c in range(rank)])
    length = ops.sqrt(ops.sum(ops.square(step), axis=-1, keepdims=True))
    tried = inverse - step * ops.minimum(1.0, 1.0 / ops.maximum(length, 1e-6))
    miss_tried = tried + linear(displacement, grid + tried, fill_value=None)
    closer = ops.sum(ops.square(miss_tried), -1, keepdims=True) < ops.sum(ops.square(miss), -1, keepdims=True)
    return ops.where(closer, tried, inverse)


def correct_inverse(inverse: Tensor, displacement: Tensor, steps: int = 3) -> Tensor:
    """Make exp(-v) invert exp(v) as it is interpolated, by Newton's method from there.

    On a grid exp(-v) misses the inverse of exp(v) by tenths of a voxel where the field is steep. Each voxel y moves to
    the root of x + u(x) = y nearest to it, in steps of at most a voxel; where u folds, y keeps the value of exp(-v).

    Args:
        inverse: [B, X, Y, Z, N], voxels, the displacement of exp(-v).
        displacement: [B, X, Y, Z, N], that of exp(v).
        steps: Of Newton's method.

    Returns:
        [B, X, Y, Z, N].
    """
    inverse, displacement = ops.cast(inverse, "float32"), ops.cast(displacement, "float32")
    slopes = _gradient_matrix(displacement)
    for _ in range(steps):
        inverse = _newton_step(inverse, displacement, slopes)
    return inverse


@compiled
def balance_inverse(inverse: Tensor, displacement: Tensor) -> Tensor:
    """Spread an inverse's errors over its voxels, so that it inverts between them too.

    Where phi shrinks, many x land between the voxels of a steep psi, which `correct_inverse` makes exact at its own
    voxels only. Each voxel moves by the mean of psi(phi(x)) - x over the x that land beside it, weighted as in linear
    interpolation: one step of SIRT (Gilbert 1972) towards psi o phi = identity.

    Args:
        inverse: [B, X, Y, Z, N], voxels, of psi.
        displacement: [B, X, Y, Z, N], voxels, of phi.

    Returns:
        [B, X, Y, Z, N].
    """
    rank = displacement.shape[-1]
    locations = identity_grid(displacement.shape[1:-1]) + displacement
    miss = displacement + linear(inverse, locations, fill_value=None)
    counted = ops.concatenate([miss, ops.ones_like(miss[..., :1])], axis=-1)
    # Points that leave the grid must not count at its border.
    spread, _ = linear_gradient_by_volume(counted, locations, counted, fill_value=0.0)
    return inverse - spread[..., :rank] / ops.maximum(spread[..., rank:], 1.0)


@compiled
def fold_penalty(displacement: Tensor, *, margin: float) -> Tensor:
    """How far a field is from one-to-one: [B, X, Y, Z, 3] -> a number, 0 where all determinants exceed the margin.

    Sum over cells and their eight corners of max(margin - det, 0)^2, det the Jacobian determinant from the three edges
    that meet at the corner. A field interpolated linearly between these voxels does not fold where all of them, and the
    mixed ones between, are positive.
    """
    sides = displacement.shape[1:4]
    edges = []
    for axis in range(3):
        before = (slice(None),) * (axis + 1)
        step = displacement[(*before, slice(1, None))] - displacement[(*before, slice(None, -1))]
        edges.append([step[..., c] + (1.0 if c == axis else 0.0) for c in range(3)])
    total: Tensor = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        rows = []
        for axis, edge in enumerate(edges):
            at = [slice(None)] + [
                slice(None) if a == axis else slice(bit, side - 1 + bit)
                for a, (bit, side) in enumerate(zip(corner, sides))
            ]
            rows.append([component[tuple(at)] for component in edge])
        total = total + ops.sum(ops.square(ops.maximum(margin - _determinant(rows), 0.0)))
    return total
