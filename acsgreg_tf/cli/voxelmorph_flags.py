"""Flags of voxelmorph's scripts that these commands do not have: each says what to use instead."""

import argparse
from collections.abc import Mapping
from typing import Any

from acsgreg_tf.errors import InputError

_ONE_CHANNEL = "images are CT with one channel"

# Command, then flag of voxelmorph's script of that name: what to use instead.
INSTEAD: Mapping[str, Mapping[str, str]] = {
    "register": {"--multichannel": _ONE_CHANNEL},
    "warp": {
        "--moving": "what is carried over is --image, --label, --points or --surface",
        "--moved": "the result is --out",
        "--multichannel": _ONE_CHANNEL,
    },
    "test": {
        "--img-suffix": "--pairs is a CSV with whole file names (columns fixed, fixed_seg, moving, moving_seg)",
        "--img-prefix": "--pairs is a CSV with whole file names; relative ones start at its folder",
        "--seg-suffix": "--pairs is a CSV with the columns fixed_seg and moving_seg",
        "--seg-prefix": "--pairs is a CSV with the columns fixed_seg and moving_seg",
        "--labels": "--pairs has a column label for the vertebra's number",
        "--multichannel": _ONE_CHANNEL,
    },
    "train": {
        "--multichannel": _ONE_CHANNEL,
        "--bidir": "every pair is trained in both orders, (a, b) and (b, a), so the loss has both directions already",
        "--use-probs": "the networks estimate a velocity, not its distribution; for a smoother one raise --lambda",
        "--kl-lambda": "the networks estimate no distribution; for a smoother field raise --lambda",
        "--legacy-image-sigma": "with --image-loss mse, L_a and L_d of --lambdas are 1/sigma^2 (0.02 is 2500)",
        "--grad-loss-weight": "the weight of smoothness is --lambda, or the third of --lambdas",
        "--dice-loss-weight": "the weights of the label terms are the last two of --lambdas",
        "--labels": "--seg-list holds masks of one vertebra each, whose values that are not 0 count as one label",
        "--model-name": "the networks are best.h5 and last.h5 in --model-dir",
        "--image-sigma": "with --image-loss mse, L_a and L_d of --lambdas are 1/sigma^2 (0.02 is 2500)",
    },
}


class _Refuse(argparse.Action):
    """Raises InputError with what to use instead, whatever values follow."""

    def __init__(self, option_strings: list[str], dest: str, instead: str = "", **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs="*", help=argparse.SUPPRESS)
        self.instead = instead

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise InputError(f"{option_string}: voxelmorph's flag; here {self.instead}")


def add(parser: argparse.ArgumentParser, command: str) -> None:
    """Let a command answer voxelmorph's flags; its help does not list them."""
    for flag, instead in INSTEAD[command].items():
        parser.add_argument(flag, action=_Refuse, instead=instead)
