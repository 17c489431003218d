"""ACSGRegNet: joint affine and diffeomorphic registration by cross- and self-attention fusion (the paper's network)."""

from collections.abc import Sequence
from typing import Any

from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.networks.affine import AffineNet
from acsgreg_tf.networks.attention_fusion import ATTENTION, AttentionFusionNet
from acsgreg_tf.networks.base import registered
from acsgreg_tf.networks.deformable import check_downsize
from acsgreg_tf.networks.joint import JointNetwork


@registered
class ACSGRegNet(JointNetwork):
    """The paper's network: AffineNet, then AttentionFusionNet; inputs and outputs as in JointNetwork.

    `with_study()` adds the branches' velocities v_s and v_c, and the gates w_s and w_c. Defaults are the paper's
    values, or our reading where it is silent (docs/reference/reading.md).

    Args:
        inshape: Spatial shape; divisible by 2**len(affine_features) and 2**len(encoder_features).
        affine_features: Channels of AffineNet's five steps.
        encoder_features: Channels of the encoder's stride-2 steps.
        decoder_features: Channels of the decoder, coarse to fine; None mirrors the encoder.
        width: Token width k.
        layers: Depth of each transformer encoder.
        heads: Their attention heads.
        mlp_ratio: Hidden width of their perceptrons over k.
        mlp_width: That hidden width itself; None takes mlp_ratio * k. (ViT-V-Net has 3072.)
        dropout: Of their branches, in training. (ViT-V-Net has 0.1.)
        softmax_scale: "head" divides attention scores by the root of a head's width, "width" by that of k (Eq. 2).
        attention: Which branches there are, ("self", "cross") or one of them (an ablation, which has no fusion).
        fusion: "gated" (GFM) or "sum" (an ablation).
        gate: Of the GFM: "sigmoid", "softmax" over the two branches, or "none", the convolution's own output.
        slope: Of every LeakyReLU for negative values.
        normalization: Of the ConvBlocks: "batch" (the paper), "instance" or "none".
        affine_normalization: Of AffineNet's ConvBlocks; None takes `normalization`. (Without any it hardly learns.)
        int_steps: Squarings of the integration.
        int_downsize: 2 integrates at half resolution, 1 at full.
        name: Name of the model.

    Raises:
        ValueError: A side not divisible, a width not divisible by the heads, or an unknown option.
    """

    def __init__(
        self,
        inshape: Sequence[int] = NETWORK_SHAPE,
        affine_features: Sequence[int] = (16, 32, 64, 128, 256),
        encoder_features: Sequence[int] = (16, 32, 64, 128),
        decoder_features: Sequence[int] | None = None,
        width: int = 252,
        layers: int = 12,
        heads: int = 12,
        mlp_ratio: int = 4,
        attention: Sequence[str] = ATTENTION,
        fusion: str = "gated",
        normalization: str = "batch",
        affine_normalization: str | None = None,
        int_steps: int = 7,
        int_downsize: int = 2,
        mlp_width: int | None = None,
        dropout: float = 0.0,
        softmax_scale: str = "head",
        gate: str = "sigmoid",
        slope: float = 0.2,
        name: str = "acsgregnet",
    ) -> None:
        inshape = check_downsize(inshape, int_downsize, encoder_features, affine_features)
        affine_normalization = affine_normalization or normalization
        deformable: dict[str, Any] = {
            "encoder_features": encoder_features,
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

        # === Layers ===
        affine_net = AffineNet(inshape, affine_features, affine_normalization, slope)
        deformable_net = AttentionFusionNet(inshape, **deformable)

        # === Functional model ===
        super().__init__(affine_net, deformable_net, int_steps, name)

        # === Config ===
        self.arguments = {
            **deformable_net.arguments,
            "affine_features": tuple(affine_features),
            "affine_normalization": affine_normalization,
            "int_steps": int_steps,
        }
