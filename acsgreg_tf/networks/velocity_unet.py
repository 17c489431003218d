"""VelocityUNet: AVoxelMorph's deformable stage, voxelmorph's U-Net (Balakrishnan et al. 2019)."""

from collections.abc import Sequence
from typing import Any

import keras

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.layers import ResizeDisplacement
from acsgreg_tf.layers.initializers import HeNormal
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.deformable import DeformableNet, check_downsize, deformable_inputs, velocity_head
from acsgreg_tf.ops import Tensor

DECODERS = ("full", "half")


@registered
class VelocityUNet(DeformableNet):
    """[fixed, m_a] -> velocity by a U-Net.

    It is built here as VxmDense builds it (one 3x3x3 convolution and LeakyReLU 0.2 a level, max pooling, nearest
    upsampling, skips), since VxmDense itself cannot be built under Keras 3. Arguments and errors as in AVoxelMorph.
    """

    def __init__(
        self,
        inshape: Sequence[int] = NETWORK_SHAPE,
        encoder_features: Sequence[int] = (16, 32, 32, 32),
        decoder_features: Sequence[int] = (32, 32, 32, 32, 32, 16, 16),
        int_downsize: int = 2,
        decoder: str = "full",
        name: str = "deformable_net",
    ) -> None:
        levels = len(encoder_features)
        inshape = check_downsize(inshape, int_downsize, encoder_features)
        if len(decoder_features) < levels:
            raise ValueError(f"decoder_features needs at least {levels} entries, got {len(decoder_features)}")
        if decoder not in DECODERS:
            raise ValueError(f"decoder must be 'full' (voxelmorph's) or 'half', got {decoder!r}")
        stops_early = decoder == "half" and int_downsize == 2

        # === Functional model ===
        fixed, m_a = deformable_inputs(inshape)
        x = keras.layers.Concatenate(name="unet_pair")([m_a, fixed])  # voxelmorph's order: source (moving) first
        skips = []
        for level, filters in enumerate(encoder_features):
            x = _convolve(x, filters, f"unet_encoder_{level}")
            skips.append(x)
            x = keras.layers.MaxPooling3D(2, name=f"unet_pool_{level}")(x)
        for level, filters in zip(reversed(range(levels)), decoder_features, strict=False):
            x = _convolve(x, filters, f"unet_decoder_{level}")
            if level > 0 or not stops_early:
                x = keras.layers.UpSampling3D(2, name=f"unet_up_{level}")(x)
                x = keras.layers.Concatenate(name=f"unet_skip_{level}")([x, skips[level]])
        for i, filters in enumerate(decoder_features[levels:]):
            x = _convolve(x, filters, f"unet_final_{i}")
        velocity = velocity_head(x, "velocity")
        if int_downsize == 2 and not stops_early:
            velocity = ResizeDisplacement([side // 2 for side in inshape], name="velocity_halved")(velocity)
        super().__init__(inputs=[fixed, m_a], outputs=velocity, name=name)

        # === Config ===
        self.arguments = {
            "inshape": inshape,
            "encoder_features": tuple(encoder_features),
            "decoder_features": tuple(decoder_features),
            "int_downsize": int_downsize,
            "decoder": decoder,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "VelocityUNet":
        return cls(**with_decoder(config))


def with_decoder(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a U-Net, whose decoder stopped at half resolution before configs named it."""
    return {"decoder": "half", **config}


def _convolve(x: Tensor, filters: int, name: str) -> Tensor:
    x = keras.layers.Conv3D(filters, 3, padding="same", kernel_initializer=HeNormal(), name=name)(x)
    return keras.layers.LeakyReLU(0.2, name=f"{name}_activation")(x)
