"""What the deformable stages share: inputs, the last convolution, and the check of their shapes."""

from collections.abc import Sequence
from typing import Any

import keras

from acsgreg_tf.layers.initializers import Normal
from acsgreg_tf.networks.base import Network, check_shape, check_steps
from acsgreg_tf.ops import Tensor


class DeformableNet(Network):
    """Base of the deformable stages: [fixed, m_a], each [B, X, Y, Z, 1] -> stationary velocity [B, x, y, z, 3].

    The velocity is in voxels of its own grid, which is `int_downsize` times coarser than the images'.

    Attributes:
        study_outputs: Inner tensors by name, for a look inside; see the subclass for which.
    """

    study_outputs: dict[str, Tensor]

    def __init__(self, *, inputs: Any, outputs: Any, study_outputs: dict[str, Tensor] | None = None, name: str) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.study_outputs = study_outputs or {}


def deformable_inputs(inshape: tuple[int, ...]) -> list[Tensor]:
    """Symbolic inputs of a deformable stage: [fixed, m_a], each [B, *inshape, 1]."""
    return [keras.Input((*inshape, 1), name=name) for name in ("fixed", "m_a")]


def velocity_head(x: Tensor, name: str) -> Tensor:
    """Last convolution of a decoder, [B, x, y, z, C] -> [B, x, y, z, 3].

    Its first kernel is near zero, so that training starts at the identity.
    """
    return keras.layers.Conv3D(3, 3, padding="same", kernel_initializer=Normal(1e-5), name=name, dtype="float32")(x)


def check_downsize(
    inshape: Sequence[int], int_downsize: int, encoder_features: Sequence[int], affine_features: Sequence[int] = (1,)
) -> tuple[int, ...]:
    """Return the spatial shape, checked against the strides of the networks and the velocity's resolution.

    Raises:
        ValueError: No steps at all, a side that 2**steps does not divide, or an `int_downsize` other than 1 and 2.
    """
    check_steps("affine_features", affine_features)
    check_steps("encoder_features", encoder_features)
    levels = max(len(affine_features), len(encoder_features))
    inshape = check_shape(inshape, 2**levels, f"{levels} steps of stride 2")
    if int_downsize not in (1, 2):
        raise ValueError(f"int_downsize must be 1 (velocity at full resolution) or 2 (half), got {int_downsize}")
    return inshape
