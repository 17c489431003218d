"""ACSGRegNet: joint affine and diffeomorphic registration by cross- and self-attention fusion (the paper's network)."""

import keras

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.layers import ConvBlock, GatedFusion, PositionEmbedding, TransformerEncoder
from acsgreg_tf.layers.initializers import GlorotUniform, Normal
from acsgreg_tf.layers.transformer import check_heads
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.joint import JointNetwork, check_downsize

ATTENTION = ("self", "cross")


def velocity_head(x, name):
    """Last convolution of a decoder; near zero at the start, so that training starts at the identity."""
    return keras.layers.Conv3D(3, 3, padding="same", kernel_initializer=Normal(1e-5), name=name, dtype="float32")(x)


class PairEncoder:
    """The shared CNN encoder (EC): one stack of blocks, called on each image; returns the features of every level."""

    def __init__(self, features, normalization):
        self.levels = [
            (
                ConvBlock(filters, 2, normalization, name=f"encoder_{level}_down"),
                ConvBlock(filters, 1, normalization, name=f"encoder_{level}"),
            )
            for level, filters in enumerate(features)
        ]

    def __call__(self, image):
        found = []
        for down, block in self.levels:
            image = block(down(image))
            found.append(image)
        return found


@registered
class ACSGRegNet(JointNetwork):
    """The paper's network; inputs and outputs as in JointNetwork. `with_study()` adds v_s, v_c, w_s and w_c.

    A shared encoder turns fixed and m_a into tokens; two self-attention modules (SAM, one an image) and one
    cross-attention module (CAM, on the stacked tokens) each feed a decoder with skip connections; the gated fusion
    module (GFM) fuses their velocities. Defaults are the paper's values, or our reading where it is silent
    (docs/reading.md).

    Args:
        inshape: spatial shape; divisible by 2**len(affine_features) and 2**len(encoder_features).
        affine_features: channels of AffineNet's five steps.
        encoder_features: channels of the encoder's stride-2 steps.
        decoder_features: channels of the decoder, coarse to fine; None mirrors the encoder.
        width: token width k.
        layers, heads, mlp_ratio: depth, heads and perceptron ratio of each transformer encoder.
        attention: which branches there are, ("self", "cross") or one of them (an ablation, which has no fusion).
        fusion: "gated" (GFM) or "sum" (an ablation).
        normalization: of the ConvBlocks: "batch" (the paper), "instance" or "none".
        affine_normalization: of AffineNet's ConvBlocks; None takes `normalization`. (Without any it hardly learns.)
        int_steps: squarings of the integration.
        int_downsize: 2 integrates at half resolution, 1 at full.

    Raises:
        ValueError: a side not divisible, a width not divisible by the heads, or an unknown option.
    """

    def __init__(
        self,
        inshape=NETWORK_SHAPE,
        affine_features=(16, 32, 64, 128, 256),
        encoder_features=(16, 32, 64, 128),
        decoder_features=None,
        width=252,
        layers=12,
        heads=12,
        mlp_ratio=4,
        attention=ATTENTION,
        fusion="gated",
        normalization="batch",
        affine_normalization=None,
        int_steps=7,
        int_downsize=2,
        name="acsgregnet",
    ):
        inshape = check_downsize(inshape, int_downsize, affine_features, encoder_features)
        check_heads(width, heads)
        attention = tuple(attention)
        if not attention or set(attention) - set(ATTENTION):
            raise ValueError(f"attention must name 'self', 'cross' or both, got {attention}")
        if fusion not in ("gated", "sum"):
            raise ValueError(f"fusion must be 'gated' or 'sum', got {fusion!r}")
        if decoder_features is None:
            decoder_features = tuple(reversed(encoder_features))
        if len(decoder_features) != len(encoder_features):
            raise ValueError(
                f"decoder_features must have one entry a level, {len(encoder_features)}, got {len(decoder_features)}"
            )
        bottleneck = tuple(side // 2 ** len(encoder_features) for side in inshape)
        tokens = bottleneck[0] * bottleneck[1] * bottleneck[2]

        def concatenate(parts, axis, name):
            return keras.layers.Concatenate(axis=axis, name=name)(parts)

        def transformer(name):
            return TransformerEncoder(layers, heads, mlp_ratio, name=name)

        def decode(pair, skips, images, name):
            """Tokens of both images [B, T, 2k] and the encoder's features to a velocity."""
            x = keras.layers.Reshape((*bottleneck, 2 * width), name=f"{name}_volume")(pair)
            x = ConvBlock(decoder_features[0], 1, normalization, name=f"{name}_0")(x)
            for level, filters in enumerate(decoder_features[1:], start=1):
                x = keras.layers.UpSampling3D(2, name=f"{name}_up_{level}")(x)
                x = concatenate([x, *skips[-1 - level]], -1, f"{name}_skip_{level}")
                x = ConvBlock(filters, 1, normalization, name=f"{name}_{level}")(x)
            if int_downsize == 1:
                x = keras.layers.UpSampling3D(2, name=f"{name}_up_full")(x)
                x = concatenate([x, *images], -1, f"{name}_skip_full")
                x = ConvBlock(decoder_features[-1], 1, normalization, name=f"{name}_full")(x)
            return velocity_head(x, f"{name}_velocity")

        def velocity_of(fixed, m_a):
            encoder = PairEncoder(encoder_features, normalization)
            features = [encoder(image) for image in (fixed, m_a)]
            skips = list(zip(*features, strict=True))
            project = keras.layers.Dense(width, kernel_initializer=GlorotUniform(), name="projection")
            embedded = []
            for image, which in zip(features, ("fixed", "moving"), strict=True):
                sequence = keras.layers.Reshape((tokens, encoder_features[-1]), name=f"{which}_sequence")(image[-1])
                embedded.append(PositionEmbedding(name=f"{which}_position")(project(sequence)))

            study = {}
            if "self" in attention:
                own = [transformer(f"sam_{w}")(e) for e, w in zip(embedded, ("fixed", "moving"), strict=True)]
                study["v_s"] = decode(concatenate(own, -1, "sam_pair"), skips, (fixed, m_a), "decoder_s")
            if "cross" in attention:
                stacked = transformer("cam")(concatenate(embedded, 1, "stacked"))
                parts = [
                    keras.layers.Cropping1D((0, tokens), name="cam_fixed")(stacked),
                    keras.layers.Cropping1D((tokens, 0), name="cam_moving")(stacked),
                ]
                study["v_c"] = decode(concatenate(parts, -1, "cam_pair"), skips, (fixed, m_a), "decoder_c")

            velocities = list(study.values())
            if len(velocities) == 1:
                return velocities[0], study
            if fusion == "sum":
                return keras.layers.Add(name="velocity", dtype="float32")(velocities), study
            velocity, study["w_s"], study["w_c"] = GatedFusion(name="gfm", dtype="float32")(velocities)
            return velocity, study

        affine_normalization = affine_normalization or normalization
        self.assemble(inshape, affine_features, affine_normalization, int_steps, int_downsize, velocity_of, name)
        self.arguments = {
            "inshape": inshape,
            "affine_features": tuple(affine_features),
            "encoder_features": tuple(encoder_features),
            "decoder_features": tuple(decoder_features),
            "width": width,
            "layers": layers,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
            "attention": attention,
            "fusion": fusion,
            "normalization": normalization,
            "affine_normalization": affine_normalization,
            "int_steps": int_steps,
            "int_downsize": int_downsize,
        }
