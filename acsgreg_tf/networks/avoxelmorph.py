"""AVoxelMorph: the paper's comparison, AffineNet followed by voxelmorph's U-Net."""

from collections.abc import Sequence
from typing import Any

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.networks.affine import AffineNet
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.deformable import check_downsize
from acsgreg_tf.networks.joint import JointNetwork
from acsgreg_tf.networks.velocity_unet import VelocityUNet, with_decoder

FIELDS = ("velocity", "displacement")


@registered
class AVoxelMorph(JointNetwork):
    """AffineNet, then voxelmorph's U-Net with scaling and squaring; inputs and outputs as in JointNetwork.

    Args:
        inshape: Spatial shape; divisible by 2**len(affine_features) and 2**len(encoder_features).
        affine_features: Channels of AffineNet's five steps.
        encoder_features: Channels of the encoder; voxelmorph's by default.
        decoder_features: Channels of the decoder; surplus entries are convolutions at its last resolution.
        normalization: Of AffineNet.
        int_steps: Squarings of the integration.
        int_downsize: 2 integrates at half resolution, 1 at full.
        decoder: "full" (voxelmorph) decodes to full resolution and then resizes the velocity by int_downsize; "half"
            stops at half resolution where int_downsize is 2, for speed.
        field: What the U-Net returns: "velocity", which is integrated (VxmDense's default), or "displacement", which is
            phi itself, at full resolution (VxmDense with int_steps=0, and Balakrishnan et al. 2019): int_steps is then
            0 and int_downsize 1. The paper does not say which of the two its AVoxelMorph is.
        slope: Of AffineNet's LeakyReLU for negative values.
        name: Name of the model.

    Raises:
        ValueError: A side not divisible, fewer decoder than encoder entries, or an unknown option.
    """

    def __init__(
        self,
        inshape: Sequence[int] = NETWORK_SHAPE,
        affine_features: Sequence[int] = (16, 32, 64, 128, 256),
        encoder_features: Sequence[int] = (16, 32, 32, 32),
        decoder_features: Sequence[int] = (32, 32, 32, 32, 32, 16, 16),
        normalization: str = "batch",
        int_steps: int = 7,
        int_downsize: int = 2,
        decoder: str = "full",
        field: str = "velocity",
        slope: float = 0.2,
        name: str = "avoxelmorph",
    ) -> None:
        if field not in FIELDS:
            raise ValueError(f"field must be 'velocity' or 'displacement', got {field!r}")
        if field == "displacement":
            int_steps, int_downsize = 0, 1
        inshape = check_downsize(inshape, int_downsize, encoder_features, affine_features)

        # === Layers ===
        affine_net = AffineNet(inshape, affine_features, normalization, slope)
        deformable_net = VelocityUNet(inshape, encoder_features, decoder_features, int_downsize, decoder)

        # === Functional model ===
        super().__init__(affine_net, deformable_net, int_steps, name)

        # === Config ===
        self.arguments = {
            **deformable_net.arguments,
            "affine_features": tuple(affine_features),
            "normalization": normalization,
            "int_steps": int_steps,
            "field": field,
            "slope": slope,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AVoxelMorph":
        return cls(**with_decoder(config))
