"""AVoxelMorph: the paper's comparison, AffineNet followed by voxelmorph's U-Net."""

import keras

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.layers.initializers import HeNormal
from acsgreg_tf.networks.acsgregnet import velocity_head
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.joint import JointNetwork, check_downsize


@registered
class AVoxelMorph(JointNetwork):
    """AffineNet, then voxelmorph's U-Net (Balakrishnan et al. 2019) with scaling and squaring; see JointNetwork.

    The U-Net is built here as VxmDense builds it (one 3x3x3 convolution and LeakyReLU 0.2 a level, max pooling, nearest
    upsampling, skips), since VxmDense itself cannot be built under Keras 3.

    Args:
        inshape: spatial shape; divisible by 2**len(affine_features) and 2**len(encoder_features).
        affine_features: channels of AffineNet's five steps.
        encoder_features, decoder_features: channels; the decoder's surplus entries are convolutions at the velocity's
            resolution. Defaults are voxelmorph's.
        normalization: of AffineNet.
        int_steps, int_downsize: as in ACSGRegNet.

    Raises:
        ValueError: a side not divisible, or fewer decoder than encoder entries.
    """

    def __init__(
        self,
        inshape=NETWORK_SHAPE,
        affine_features=(16, 32, 64, 128, 256),
        encoder_features=(16, 32, 32, 32),
        decoder_features=(32, 32, 32, 32, 32, 16, 16),
        normalization="batch",
        int_steps=7,
        int_downsize=2,
        name="avoxelmorph",
    ):
        levels = len(encoder_features)
        inshape = check_downsize(inshape, int_downsize, affine_features, encoder_features)
        if len(decoder_features) < levels:
            raise ValueError(f"decoder_features needs at least {levels} entries, got {len(decoder_features)}")

        def convolve(x, filters, name):
            x = keras.layers.Conv3D(filters, 3, padding="same", kernel_initializer=HeNormal(), name=name)(x)
            return keras.layers.LeakyReLU(0.2, name=f"{name}_activation")(x)

        def velocity_of(fixed, m_a):
            # voxelmorph's order: source (moving) first.
            x = keras.layers.Concatenate(name="unet_pair")([m_a, fixed])
            skips = []
            for level, filters in enumerate(encoder_features):
                x = convolve(x, filters, f"unet_encoder_{level}")
                skips.append(x)
                x = keras.layers.MaxPooling3D(2, name=f"unet_pool_{level}")(x)
            finest = 1 if int_downsize == 2 else 0
            for level, filters in zip(reversed(range(levels)), decoder_features, strict=False):
                x = convolve(x, filters, f"unet_decoder_{level}")
                if level >= finest:
                    x = keras.layers.UpSampling3D(2, name=f"unet_up_{level}")(x)
                    x = keras.layers.Concatenate(name=f"unet_skip_{level}")([x, skips[level]])
            for i, filters in enumerate(decoder_features[levels:]):
                x = convolve(x, filters, f"unet_final_{i}")
            return velocity_head(x, "velocity"), {}

        self.assemble(inshape, affine_features, normalization, int_steps, int_downsize, velocity_of, name)
        self.arguments = {
            "inshape": inshape,
            "affine_features": tuple(affine_features),
            "encoder_features": tuple(encoder_features),
            "decoder_features": tuple(decoder_features),
            "normalization": normalization,
            "int_steps": int_steps,
            "int_downsize": int_downsize,
        }
