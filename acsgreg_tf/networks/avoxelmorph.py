"""AVoxelMorph: the paper's comparison, AffineNet followed by voxelmorph's U-Net."""

from collections.abc import Sequence

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.networks.affine import AffineNet
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.deformable import check_downsize
from acsgreg_tf.networks.joint import JointNetwork
from acsgreg_tf.networks.velocity_unet import VelocityUNet


@registered
class AVoxelMorph(JointNetwork):
    """AffineNet, then voxelmorph's U-Net with scaling and squaring; inputs and outputs as in JointNetwork.

    Args:
        inshape: Spatial shape; divisible by 2**len(affine_features) and 2**len(encoder_features).
        affine_features: Channels of AffineNet's five steps.
        encoder_features, decoder_features: Channels; the decoder's surplus entries are convolutions at the velocity's
            resolution. Defaults are voxelmorph's.
        normalization: Of AffineNet.
        int_steps, int_downsize: As in ACSGRegNet.
        name: Name of the model.

    Raises:
        ValueError: A side not divisible, or fewer decoder than encoder entries.
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
        name: str = "avoxelmorph",
    ) -> None:
        inshape = check_downsize(inshape, int_downsize, encoder_features, affine_features)

        # === Layers ===
        affine_net = AffineNet(inshape, affine_features, normalization)
        deformable_net = VelocityUNet(inshape, encoder_features, decoder_features, int_downsize)

        # === Functional model ===
        super().__init__(affine_net, deformable_net, int_steps, name)

        # === Config ===
        self.arguments = {
            **deformable_net.arguments,
            "affine_features": tuple(affine_features),
            "normalization": normalization,
            "int_steps": int_steps,
        }
