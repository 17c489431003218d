"""Masks of parts for the deformable label loss: a few parts a pair, drawn anew at each step.

All nine at once would be nine volumes to warp; the mean over the steps is the same.
"""

from collections.abc import Sequence

import numpy as np

from acsgreg_tf.anatomy.parts import PARTS
from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.training.recipe import Recipe

# Parts a pair and step.
DRAWN = 2
# The training model's output that is compared with the fixed parts.
OUTPUT = "m_d_parts"


def channels(vertebrae: VertebraDataset, recipe: Recipe) -> int:
    """How many parts a step compares: none where the vertebrae have none, or where they weigh nothing."""
    weighs = recipe.parts_weight > 0 and recipe.lambdas[4] > 0
    return DRAWN if weighs and vertebrae.has_parts and vertebrae.has_labels else 0


def drawn_masks(
    maps: Sequence[np.ndarray | None], shape: tuple[int, ...], rng: np.random.Generator
) -> list[np.ndarray]:
    """Masks of the same DRAWN parts of both sides of a pair, drawn from those that both have.

    Args:
        maps: The maps of parts of the fixed and the moving side, uint8 (X, Y, Z), each None without one.
        shape: (X, Y, Z).
        rng: Draws the parts.

    Returns:
        [fixed, moving], each bool (X, Y, Z, DRAWN); a channel for which there is no part is empty on both sides, which
        `losses.SoftDice` scores as a match.
    """
    masks = [np.zeros((*shape, DRAWN), bool) for _ in maps]
    known = [own for own in maps if own is not None]
    if len(known) < len(maps):
        return masks
    held = [np.bincount(own.ravel(), minlength=256) > 0 for own in known]
    names = [name for name, numbers in PARTS.items() if all(h[list(numbers)].any() for h in held)]
    chosen = rng.permutation(len(names))[:DRAWN]
    for channel, name in enumerate(names[i] for i in chosen):
        for side, own in zip(masks, known, strict=True):
            side[..., channel] = np.isin(own, PARTS[name])
    return masks
