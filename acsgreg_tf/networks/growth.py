"""A trained network grown into a larger one of its kind, which then trains on from what the small one has learnt."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.layers import ConvBlock, TransformerEncoder
from acsgreg_tf.networks.acsgregnet import ACSGRegNet

# Arguments that say what the copied layers are; a grown network has those of the small one.
_SAME = (
    "inshape",
    "affine_features",
    "affine_normalization",
    "encoder_features",
    "decoder_features",
    "attention",
    "fusion",
    "gate",
    "slope",
    "int_downsize",
    "int_steps",
)
# The last weights of a transformer layer's two branches: where they are zero the layer returns its tokens.
_LAST = ("out_kernel", "out_bias", "mlp_kernel", "mlp_bias")


@dataclass(frozen=True)
class Growth:
    """What a grown network has of the small one.

    Attributes:
        exact: Whether it computes what the small one does.
        copied: Names of the layers that compute what the small one's do, or begin with its convolution.
        padded: Those whose weights are the small one's with zeros, or new numbers, for the wider tokens.
        begun: Transformers that begin as the identity.
    """

    exact: bool
    copied: tuple[str, ...]
    padded: tuple[str, ...]
    begun: tuple[str, ...]


def grow(small: ACSGRegNet, large: ACSGRegNet) -> Growth:
    """Give a new network the weights of a trained one with fewer or narrower transformer layers.

    - AffineNet, the encoder's and decoders' convolutions and the gated fusion are copied: the affine is the same.
    - Tokens: the first channels are the small network's; the others are projected by new weights, which the first
      convolution of each decoder does not see yet (its weights for them are zero).
    - Transformers: where one layer computes the same in both (width, heads, perceptron), the small network's layers are
      copied, and layers that do nothing yet (the last matrix of each branch is zero) follow. Else all begin as such
      layers: what the small network's attention has learnt is lost.
    - Normalisations that the small network lacks begin with scale 1 and shift 0, which changes what comes out.

    So the output is the same where only layers are added; else it has to be trained again.

    Args:
        small: Trained.
        large: New; its weights change in place.

    Raises:
        InputError: They differ in more than `width`, `layers`, `heads`, `mlp_ratio`, `mlp_width`, `dropout`,
            `softmax_scale` and `normalization`, or `large` is the smaller one.
    """
    _check(small, large)
    same_layers = _layer_of(small) == _layer_of(large)
    sources = {layer.name: layer for layer in small.deformable_net.layers}
    done: dict[str, list[str]] = {"copied": [large.affine_net.name], "padded": [], "begun": []}
    large.affine_net.set_weights(small.affine_net.get_weights())
    for target in large.deformable_net.layers:
        source = sources[target.name]
        if isinstance(target, TransformerEncoder):
            _grow_transformer(source, target, same_layers)
            kind = "copied" if same_layers else "begun"
        elif isinstance(target, ConvBlock):
            kind = _grow_block(source, target)
        elif target.weights:
            kind = _grow_tokens(source, target)
        else:
            continue
        done[kind].append(target.name)
    exact = same_layers and small.arguments["normalization"] == large.arguments["normalization"]
    return Growth(exact, *(tuple(done[kind]) for kind in ("copied", "padded", "begun")))


def _grow_transformer(source: TransformerEncoder, target: TransformerEncoder, same_layers: bool) -> None:
    """The layers of `source`, if one layer computes the same in both, then such as return their tokens."""
    stacks = {}
    for stack in target.stacks:
        name = stack.path.rsplit("/", 1)[-1]
        values = keras.ops.convert_to_numpy(stack).copy()
        if name in _LAST:
            values[:] = 0.0
        stacks[name] = values
    if same_layers:
        for stack in source.stacks:
            stacks[stack.path.rsplit("/", 1)[-1]][: source.layers] = keras.ops.convert_to_numpy(stack)
    closing = zip(source.norm.get_weights(), target.norm.get_weights(), strict=True)
    target.norm.set_weights([_placed(old, new) for old, new in closing])
    for stack, values in zip(target.stacks, stacks.values(), strict=True):
        stack.assign(values)


def _grow_block(source: ConvBlock, target: ConvBlock) -> str:
    """A convolution, with zeros for the channels of tokens that are new; its normalisation where both have the same."""
    (kernel, bias), (new, _) = source.conv.get_weights(), target.conv.get_weights()
    kind = "copied"
    if new.shape != kernel.shape:  # of a decoder's first: the tokens of the fixed image, then those of the moving one
        halves = zip(np.split(np.zeros_like(new), 2, axis=3), np.split(kernel, 2, axis=3), strict=True)
        kernel = np.concatenate([_placed(old, empty) for empty, old in halves], axis=3)
        kind = "padded"
    target.conv.set_weights([kernel, bias])
    if target.norm is not None and source.norm is not None and source.normalization == target.normalization:
        target.norm.set_weights(source.norm.get_weights())
    return kind


def _grow_tokens(source: keras.layers.Layer, target: keras.layers.Layer) -> str:
    """Projection, positions or fusion: the old numbers in the first channels, the new ones' own in the others."""
    old, new = source.get_weights(), target.get_weights()
    target.set_weights([_placed(ours, theirs) for ours, theirs in zip(old, new, strict=True)])
    return "copied" if all(ours.shape == theirs.shape for ours, theirs in zip(old, new)) else "padded"


def _placed(small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """`large` with `small` in its first rows, columns and so on."""
    result = large.copy()
    result[tuple(slice(side) for side in small.shape)] = small
    return result


def _check(small: Any, large: Any) -> None:
    for network in (small, large):
        if not isinstance(network, ACSGRegNet):
            raise InputError(f"{network.name}: only an ACSGRegNet can be grown, into another")
    for name in _SAME:
        ours, theirs = small.arguments[name], large.arguments[name]
        if ours != theirs:
            raise InputError(f"{name}: {ours} cannot grow into {theirs}")
    for name in ("width", "layers"):
        ours, theirs = small.arguments[name], large.arguments[name]
        if ours > theirs:
            raise InputError(f"{name}: {ours} cannot grow into {theirs}, which is less")


def _layer_of(network: ACSGRegNet) -> tuple:
    arguments = network.arguments
    hidden = arguments["mlp_width"] or int(arguments["mlp_ratio"] * arguments["width"])
    return arguments["width"], arguments["heads"], arguments["softmax_scale"], hidden
