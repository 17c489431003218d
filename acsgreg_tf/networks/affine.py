"""AffineNet: the affine registration network (section 2.1, Figure 2)."""

from collections.abc import Sequence

import keras

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.layers import AffineMatrix, ConvBlock
from acsgreg_tf.networks.base import Network, check_shape, check_steps, registered
from acsgreg_tf.ops import Tensor


def image_inputs(inshape: Sequence[int]) -> dict[str, Tensor]:
    """Symbolic inputs of a network: {"fixed", "moving"}, each [B, *inshape, 1]."""
    return {name: keras.Input((*inshape, 1), name=name) for name in ("fixed", "moving")}


@registered
class AffineNet(Network):
    """Regresses the affine that takes fixed to moving.

    Inputs {"fixed", "moving"}: [B, X, Y, Z, 1]. Output: [B, 3, 4], voxels about the grid's centre.
    Each entry of `features` is one stride-2 ConvBlock followed by two of stride 1; a dense layer ends in 12 numbers.

    Args:
        inshape: Spatial shape; each side divisible by 2**len(features).
        features: Channels of the ConvBlocks (the paper has five steps).
        normalization: "batch" (the paper), "instance" or "none".
        slope: Of the LeakyReLU for negative values; the paper does not state it.
        name: Name of the model.

    Raises:
        ValueError: A side that the strides do not divide.
    """

    def __init__(
        self,
        inshape: Sequence[int] = NETWORK_SHAPE,
        features: Sequence[int] = (16, 32, 64, 128, 256),
        normalization: str = "batch",
        slope: float = 0.2,
        name: str = "affine_net",
    ) -> None:
        check_steps("features", features)
        inshape = check_shape(inshape, 2 ** len(features), f"{len(features)} stride-2 blocks")

        # === Layers ===
        blocks = [
            ConvBlock(filters, strides, normalization, slope, name=f"block_{level}_{i}")
            for level, filters in enumerate(features)
            for i, strides in enumerate((2, 1, 1))
        ]
        matrix = AffineMatrix(inshape, name="matrix", dtype="float32")

        # === Functional model ===
        inputs = image_inputs(inshape)
        x = keras.layers.Concatenate(name="pair")([inputs["fixed"], inputs["moving"]])
        for block in blocks:
            x = block(x)
        affine = matrix(keras.layers.Flatten(name="flatten")(x))
        super().__init__(inputs=inputs, outputs=affine, name=name)

        # === Config ===
        self.arguments = {
            "inshape": inshape,
            "features": tuple(features),
            "normalization": normalization,
            "slope": slope,
        }
