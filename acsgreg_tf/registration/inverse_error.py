"""By how much a deformation's inverse misses, and a smoother velocity where that or folds ask for one."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from acsgreg_tf import fields
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.folds import smoothed_near, without_folds

# Voxels (mm) round the vertebra within which the inverse is measured.
AROUND = 5
# Voxels (mm) that the inverse may miss by.
MOST = 0.45


class InverseError(NamedTuple):
    """Where and by how much inverse(forward(x)) misses x.

    Attributes:
        places: (N, 3) float64, points x, voxels of phi's grid.
        misses: (N,) float64, voxels.
    """

    places: np.ndarray
    misses: np.ndarray


def places_around(mask: np.ndarray) -> np.ndarray:
    """Where an inverse is measured: the voxels within `AROUND` of a mask and the places between them, (N, 3) float64.

    Args:
        mask: (X, Y, Z) bool; where it is empty, all of it is taken. Places beyond its grid have negative indices.
    """
    mask = np.pad(mask if mask.any() else np.ones_like(mask), AROUND)
    near = ndimage.maximum_filter(mask, 2 * AROUND + 1)
    voxels = np.argwhere(near) - AROUND
    return np.concatenate([voxels, voxels + 0.5])


def inverse_error(deformation: Deformation, mask: np.ndarray, rough: bool = False) -> InverseError:
    """The inverse's error at voxels and between them, in and around the vertebra, through the parts as written.

    Args:
        deformation: With a margin or without.
        mask: (X, Y, Z) bool, the fixed vertebra; where it is empty, the whole box is measured.
        rough: Of `Deformation.rough_inverse`, which is computed sooner.
    """
    return _missed(deformation, places_around(mask) + deformation.padding, rough)


def _missed(deformation: Deformation, places: np.ndarray, rough: bool) -> InverseError:
    backward = deformation.rough_inverse if rough else deformation.part_inverse
    steps = [(np.eye(3, 4), part) for part in (deformation.part, backward) for _ in range(deformation.parts)]
    apart = fields.through(places, steps, room=np.inf) - places
    return InverseError(places, np.sqrt(np.einsum("nk,nk->n", apart, apart)))


def invertible(deformation: Deformation, mask: np.ndarray, rounds: int = 20) -> Deformation:
    """A deformation whose inverse misses by `MOST` at most: the same object, or one with a smoother velocity.

    The velocity is smoothed where the inverse misses by that, or nearly, in a neighbourhood that grows from round to
    round.

    Args:
        deformation: Without folds.
        mask: As in `inverse_error`.
        rounds: After so many it is left as it is.
    """
    places = places_around(mask) + deformation.padding
    for i in range(rounds):
        misses = _missed(deformation, places, rough=True).misses
        if not (misses > MOST).any():
            misses = _missed(deformation, places, rough=False).misses
        if not (misses > MOST).any():
            break
        where = deformation.on_lattice(places[misses > 0.8 * MOST])
        deformation = replace(deformation, velocity=smoothed_near(deformation.velocity, where, reach=1 + i))
    return deformation


def written_safely(deformation: Deformation, mask: np.ndarray, rounds: int = 3) -> Deformation:
    """A deformation that does not fold and whose inverse misses by `MOST` at most: one may undo the other's work.

    Args:
        deformation: With a margin.
        mask: As in `inverse_error`.
        rounds: After so many, folds alone are looked at.
    """
    for _ in range(rounds):
        # Folds between voxels last: what is smoothed for the inverse removes most of them.
        inverted = invertible(without_folds(deformation, thorough=False), mask)
        deformation = without_folds(inverted)
        if deformation is inverted:
            break
    return deformation
