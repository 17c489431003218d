"""AttentionFusionNet: ACSGRegNet's deformable stage, attention within and between the two images (section 2.1)."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import keras

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.layers import ConvBlock, GatedFusion, PositionEmbedding, TransformerEncoder
from acsgreg_tf.layers.initializers import GlorotUniform
from acsgreg_tf.layers.transformer import check_heads
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.deformable import DeformableNet, check_downsize, deformable_inputs, velocity_head
from acsgreg_tf.ops import Tensor

ATTENTION = ("self", "cross")
IMAGES = ("fixed", "moving")


@registered
class AttentionFusionNet(DeformableNet):
    """[fixed, m_a] -> velocity by a shared encoder, transformers, two decoders and gated fusion.

    The encoder turns each image into tokens; two self-attention modules (SAM, one an image) and one cross-attention
    module (CAM, on the stacked tokens) each feed a decoder with skip connections; the gated fusion module (GFM) fuses
    their velocities. Arguments and errors as in ACSGRegNet.

    Attributes:
        study_outputs: The velocities v_s and v_c of the branches that there are, and the gates w_s and w_c, each
            [B, x, y, z, 3].
    """

    def __init__(
        self,
        inshape: Sequence[int] = NETWORK_SHAPE,
        encoder_features: Sequence[int] = (16, 32, 64, 128),
        decoder_features: Sequence[int] | None = None,
        width: int = 252,
        layers: int = 12,
        heads: int = 12,
        mlp_ratio: int = 4,
        attention: Sequence[str] = ATTENTION,
        fusion: str = "gated",
        normalization: str = "batch",
        int_downsize: int = 2,
        mlp_width: int | None = None,
        dropout: float = 0.0,
        softmax_scale: str = "head",
        gate: str = "sigmoid",
        slope: float = 0.2,
        name: str = "deformable_net",
    ) -> None:
        inshape = check_downsize(inshape, int_downsize, encoder_features)
        check_heads(width, heads)
        attention = check_fusion(attention, fusion)
        decoder_features = check_decoder(encoder_features, decoder_features)
        block = functools.partial(ConvBlock, normalization=normalization, slope=slope)
        encoder = functools.partial(TransformerEncoder, layers, heads, mlp_ratio, mlp_width, dropout, softmax_scale)
        bottleneck = tuple(side // 2 ** len(encoder_features) for side in inshape)

        # === Functional model ===
        inputs = deformable_inputs(inshape)
        features = _encode(inputs, encoder_features, block)
        sequences = _embed([levels[-1] for levels in features], width)
        skips = [*reversed(list(zip(*features))[:-1]), *([inputs] if int_downsize == 1 else [])]

        def decode(pair: Tensor, name: str) -> Tensor:
            """Tokens of both images [B, T, 2k] to a velocity."""
            x = keras.layers.Reshape((*bottleneck, 2 * width), name=f"{name}_volume")(pair)
            return velocity_head(_decode(x, decoder_features, skips, block, name), f"{name}_velocity")

        study = {}
        if "self" in attention:
            study["v_s"] = decode(_attend_within(sequences, encoder), "decoder_s")
        if "cross" in attention:
            study["v_c"] = decode(_attend_across(sequences, encoder), "decoder_c")
        velocity, gates = _fuse(list(study.values()), fusion, gate)
        super().__init__(inputs=inputs, outputs=velocity, study_outputs={**study, **gates}, name=name)

        # === Config ===
        self.arguments = {
            "inshape": inshape,
            "encoder_features": tuple(encoder_features),
            "decoder_features": decoder_features,
            "width": width,
            "layers": layers,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
            "attention": attention,
            "fusion": fusion,
            "normalization": normalization,
            "int_downsize": int_downsize,
            "mlp_width": mlp_width,
            "dropout": dropout,
            "softmax_scale": softmax_scale,
            "gate": gate,
            "slope": slope,
        }


def _encode(images: Iterable[Tensor], channels: Sequence[int], block: Callable) -> list[list[Tensor]]:
    """Features of each image at every level, fine to coarse; the images share the blocks."""
    blocks = [
        (
            block(filters, strides=2, name=f"encoder_{level}_down"),
            block(filters, name=f"encoder_{level}"),
        )
        for level, filters in enumerate(channels)
    ]
    features = []
    for x in images:
        levels = []
        for down, same in blocks:
            x = same(down(x))
            levels.append(x)
        features.append(levels)
    return features


def _embed(maps: Sequence[Tensor], width: int) -> list[Tensor]:
    """The coarsest map [B, x, y, z, C] of each image as tokens with their positions, [B, T, width]."""
    *sides, channels = maps[0].shape[1:]
    flatten = [keras.layers.Reshape((math.prod(sides), channels), name=f"{image}_sequence") for image in IMAGES]
    project = keras.layers.Dense(width, kernel_initializer=GlorotUniform(), name="projection")
    positions = [PositionEmbedding(name=f"{image}_position") for image in IMAGES]
    return [
        position(project(sequence(features)))
        for features, sequence, position in zip(maps, flatten, positions, strict=True)
    ]


def _attend_within(sequences: Sequence[Tensor], encoder: Callable) -> Tensor:
    """Self-attention in each image by a SAM of its own: two [B, T, k] -> [B, T, 2k]."""
    sams = [encoder(name=f"sam_{image}") for image in IMAGES]
    return keras.layers.Concatenate(name="sam_pair")(
        [sam(sequence) for sam, sequence in zip(sams, sequences, strict=True)]
    )


def _attend_across(sequences: Sequence[Tensor], encoder: Callable) -> Tensor:
    """Attention over the tokens of both images by the CAM: two [B, T, k] -> [B, T, 2k]."""
    tokens = sequences[0].shape[1]
    stacked = keras.layers.Concatenate(axis=1, name="stacked")(sequences)
    both = encoder(name="cam")(stacked)
    parts = [
        keras.layers.Cropping1D((0, tokens), name="cam_fixed")(both),
        keras.layers.Cropping1D((tokens, 0), name="cam_moving")(both),
    ]
    return keras.layers.Concatenate(name="cam_pair")(parts)


def _decode(
    x: Tensor, channels: Sequence[int], skips: Sequence[Sequence[Tensor]], block: Callable, name: str
) -> Tensor:
    """Decoder from the bottleneck up.

    Args:
        x: The tokens' volume.
        channels: Of its ConvBlocks, coarse to fine.
        skips: The tensors that skip to each step after the first; a step beyond the channels has the last's.
        block: Makes a ConvBlock.
        name: Of the decoder.
    """
    x = block(channels[0], name=f"{name}_0")(x)
    for level, skip in enumerate(skips, 1):
        label, filters = (level, channels[level]) if level < len(channels) else ("full", channels[-1])
        x = keras.layers.UpSampling3D(2, name=f"{name}_up_{label}")(x)
        x = keras.layers.Concatenate(name=f"{name}_skip_{label}")([x, *skip])
        x = block(filters, name=f"{name}_{label}")(x)
    return x


def _fuse(velocities: list[Tensor], fusion: str, gate: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The velocity of one or both branches, and the gates by name where there are any."""
    if len(velocities) == 1:
        return velocities[0], {}
    if fusion == "sum":
        return keras.layers.Add(name="velocity", dtype="float32")(velocities), {}
    velocity, w_s, w_c = GatedFusion(activation=gate, name="gfm", dtype="float32")(velocities)
    return velocity, {"w_s": w_s, "w_c": w_c}


def check_fusion(attention: Sequence[str], fusion: str) -> tuple[str, ...]:
    """Return the attention branches as a tuple; raise ValueError for an unknown branch or fusion."""
    attention = tuple(attention)
    if not attention or set(attention) - set(ATTENTION):
        raise ValueError(f"attention must name 'self', 'cross' or both, got {attention}")
    if fusion not in ("gated", "sum"):
        raise ValueError(f"fusion must be 'gated' or 'sum', got {fusion!r}")
    return attention


def check_decoder(encoder: Sequence[int], decoder: Sequence[int] | None) -> tuple[int, ...]:
    """Return the decoder's channels, by default the encoder's reversed; raise ValueError unless one a level."""
    decoder = tuple(reversed(encoder)) if decoder is None else tuple(decoder)
    if len(decoder) != len(encoder):
        raise ValueError(f"decoder_features must have one entry a level, {len(encoder)}, got {len(decoder)}")
    return decoder
