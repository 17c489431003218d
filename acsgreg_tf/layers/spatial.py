"""voxelmorph's SpatialTransformer and VecInt on this package's own ops: batched, and on every Keras backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from acsgreg_tf.layers._voxelmorph import SpatialTransformerBase, VecIntBase
from acsgreg_tf.ops import PACKAGE, Tensor, fields
from acsgreg_tf.ops import affine as affine_ops

# Half precision places voxel 100 to a sixteenth of a voxel only; mixed policies do not reach layers of positions.
POSITIONS = "float32"


def _first_two_exchanged(values: Tensor, axis: int) -> Tensor:
    return ops.take(values, [1, 0, *range(2, values.shape[axis])], axis=axis)


def _matrix_order(displacement: Tensor, indexing: str) -> Tensor:
    """Components in 'ij' order; 'xy' has the first two flipped."""
    if indexing == "ij":
        return displacement
    return _first_two_exchanged(displacement, axis=-1)


def _matrix_order_affine(affine: Tensor) -> Tensor:
    """An affine for 'xy' coordinates, in 'ij' order: rows and columns of the first two axes exchanged."""
    return _first_two_exchanged(_first_two_exchanged(affine, axis=1), axis=2)


def _check_indexing(indexing: str) -> None:
    if indexing not in ("ij", "xy"):
        raise ValueError(f"indexing must be 'ij' (matrix) or 'xy' (cartesian), got {indexing!r}")


@keras.saving.register_keras_serializable(PACKAGE)
class SpatialTransformer(SpatialTransformerBase):
    """Warps images by affine or dense transforms; a drop-in subclass of voxelmorph's SpatialTransformer.

    Called on [image, transform]: image [B, X, Y, Z, C], transform a displacement [B, x, y, z, 3] in voxels or an affine
    [B, 3, 4] (2-D alike). Returns the image sampled at x + u(x), on the displacement's grid, in the image's dtype
    (whole numbers sampled linearly come back as float32). Computes in float32 under any global policy unless given a
    dtype.

    Args:
        interp_method: 'linear' or 'nearest'.
        indexing: 'ij' or 'xy': the first two components are flipped, of an affine the first two rows and columns (where
            voxelmorph's own result is of use only if the first two sides are equal).
        single_transform: Use the first transform of the batch for all images.
        fill_value: Value outside the image; None clamps to the edge.
        shift_center: An affine acts about the centre (shape - 1) / 2 rather than about voxel 0.
        constant_image: True promises that the image needs no gradient, for faster training. (Not in voxelmorph.)

    Raises:
        ValueError: An option or a pair of input shapes that cannot work.
    """

    def __init__(
        self,
        interp_method: str = "linear",
        indexing: str = "ij",
        single_transform: bool = False,
        fill_value: float | None = None,
        shift_center: bool = True,
        constant_image: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_indexing(indexing)
        if interp_method not in ("linear", "nearest"):
            raise ValueError(f"interp_method must be 'linear' or 'nearest', got {interp_method!r}")
        keras.layers.Layer.__init__(self, **{"dtype": POSITIONS, **kwargs})
        self.interp_method = interp_method
        self.indexing = indexing
        self.single_transform = single_transform
        self.fill_value = fill_value
        self.shift_center = shift_center
        self.constant_image = constant_image

    def build(self, input_shape: Any) -> None:
        image, transform = input_shape
        rank = len(image) - 2
        if len(transform) == 3 and tuple(transform[1:]) != (rank, rank + 1):
            raise ValueError(f"an affine for {rank}-D images must be [B, {rank}, {rank + 1}], got {tuple(transform)}")
        if len(transform) != 3 and (len(transform) != rank + 2 or transform[-1] != rank):
            raise ValueError(f"a displacement of {rank}-D images must end in {rank} components, got {tuple(transform)}")
        self.built = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        image, transform = inputs
        if self.single_transform:
            transform = ops.repeat(transform[:1], ops.shape(image)[0], axis=0)
        if len(transform.shape) == 3:
            affine = transform if self.indexing == "ij" else _matrix_order_affine(transform)
            moved = affine_ops.warp_affine(
                image, affine, self.interp_method, self.fill_value, self.shift_center, self.constant_image
            )
        else:
            displacement = _matrix_order(transform, self.indexing)
            moved = fields.warp(image, displacement, self.interp_method, self.fill_value, self.constant_image)
        return ops.cast(moved, image.dtype) if keras.backend.is_float_dtype(image.dtype) else moved

    def compute_output_shape(self, input_shape: Any) -> tuple:
        image, transform = input_shape
        spatial = image[1:-1] if len(transform) == 3 else transform[1:-1]
        return (image[0], *spatial, image[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **keras.layers.Layer.get_config(self),
            "interp_method": self.interp_method,
            "indexing": self.indexing,
            "single_transform": self.single_transform,
            "fill_value": self.fill_value,
            "shift_center": self.shift_center,
            "constant_image": self.constant_image,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class JointTransformer(keras.layers.Layer):
    """Samples an image once, linearly, through p_fixed -> phi -> A -> moving, as `register` does.

    Called on [image, affine, displacement]: image [B, X, Y, Z, C], affine [B, 3, 4] about the grid's centre,
    displacement [B, X, Y, Z, 3], voxels (2-D alike). Returns [B, X, Y, Z, C], float32. The image, which is the moving
    image itself, gets no gradient.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": POSITIONS, **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return affine_ops.warp_jointly(*inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(PACKAGE)
class VecInt(VecIntBase):
    """Integrates a stationary velocity to a displacement; a drop-in subclass of voxelmorph's VecInt.

    [B, X, Y, Z, 3] in voxels to the same shape (2-D alike).

    Args:
        indexing: 'ij' or 'xy'. As in voxelmorph, 'xy' flips the first two components, and the result is in 'ij' order.
        method: 'ss' or 'scaling_and_squaring' (2**int_steps steps), 'quadrature' (int_steps Euler steps), or 'ode',
            which needs `odeint_fn`.
        int_steps: Number of squarings or of Euler steps.
        out_time_pt: For 'ode': the time at which the result is taken.
        ode_args: For 'ode': further arguments of `odeint_fn`.
        odeint_fn: For 'ode': `odeint_fn(fn, u0, times, **ode_args)` integrates fn(u, t) from time 0 and returns u at
            each of `times`.

    Raises:
        ValueError: An unknown method, a negative or (for quadrature) zero int_steps, 'ode' without odeint_fn, or an
            input whose last axis does not match its spatial axes.
    """

    def __init__(
        self,
        indexing: str = "ij",
        method: str = "ss",
        int_steps: int = 7,
        out_time_pt: float = 1,
        ode_args: dict[str, Any] | None = None,
        odeint_fn: Callable | None = None,
        **kwargs: Any,
    ) -> None:
        _check_indexing(indexing)
        if method not in ("ss", "scaling_and_squaring", "quadrature", "ode"):
            raise ValueError(f"method must be 'ss', 'scaling_and_squaring', 'quadrature' or 'ode', got {method!r}")
        if int_steps < (1 if method == "quadrature" else 0):
            raise ValueError(f"int_steps is too small for {method!r}: {int_steps}")
        if method == "ode" and odeint_fn is None:
            raise ValueError("method 'ode' needs odeint_fn: TensorFlow no longer brings an integrator")
        # voxelmorph's own __init__ calls super(self.__class__, self), which never ends in a subclass.
        keras.layers.Layer.__init__(self, **{"dtype": POSITIONS, **kwargs})
        self.indexing = indexing
        self.method = method
        self.int_steps = int_steps
        self.inshape: tuple | None = None
        self.out_time_pt = out_time_pt
        self.ode_args = ode_args if ode_args is not None else {"rtol": 1e-6, "atol": 1e-12}
        self.odeint_fn = odeint_fn

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != len(input_shape) - 2:
            raise ValueError(f"a velocity must be [B, spatial..., N] with N spatial axes, got {tuple(input_shape)}")
        self.inshape = tuple(input_shape)
        self.built = True

    def call(self, velocity: Tensor) -> Tensor:
        velocity = _matrix_order(ops.cast(velocity, "float32"), self.indexing)
        if self.method == "quadrature":
            step = velocity / self.int_steps
            displacement = step
            for _ in range(self.int_steps - 1):
                displacement = fields.compose(step, displacement)
            return displacement
        if self.method == "ode":
            times = ops.convert_to_tensor([0.0, float(self.out_time_pt)], dtype="float32")
            start = ops.zeros_like(velocity)
            assert self.odeint_fn is not None  # checked in __init__
            return self.odeint_fn(lambda u, t: fields.warp(velocity, u), start, times, **self.ode_args)[-1]
        return fields.integrate(velocity, self.int_steps)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **keras.layers.Layer.get_config(self),
            "indexing": self.indexing,
            "method": self.method,
            "int_steps": self.int_steps,
            "out_time_pt": self.out_time_pt,
            "ode_args": self.ode_args,
            "odeint_fn": self.odeint_fn,
        }
