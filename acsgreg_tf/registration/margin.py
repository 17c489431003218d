"""A velocity that falls smoothly to zero round the vertebra, so that its exponential is smooth everywhere.

What a network estimates ends at the faces of its box, where the velocity may still be millimetres: cut off there, the
written transform tears. Beyond the box the velocity goes on as it is at the nearest face and fades with the distance
from the bone; in the end the affine alone is left. exp(v) stays a diffeomorphism of all space, and exp(-v) its inverse.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from acsgreg_tf.registration.deformation import Deformation

# Voxels (mm) from the bone: the velocity is left as it is up to the first, and is zero from the second on.
NEAR, FAR = 8.0, 22.0


def with_margin(deformation: Deformation, mask: np.ndarray) -> Deformation:
    """The deformation on a lattice that reaches beyond the box, its velocity faded with the distance from the bone.

    Args:
        deformation: An estimate without a margin.
        mask: (X, Y, Z) bool, the fixed vertebra, whose flow must not change; where it is empty, the whole box.

    Returns:
        A Deformation whose velocity is zero at its lattice's faces.
    """
    step = deformation.step
    index = np.argwhere(mask) if mask.any() else np.argwhere(np.ones_like(mask))
    room = np.minimum(index.min(axis=0), np.array(mask.shape) - 1 - index.max(axis=0))
    x, y, z = (int(side) for side in np.ceil(np.maximum(FAR - room, 0) / step) + 1)
    margin = (x, y, z)
    velocity = np.pad(deformation.velocity, [*((side, side) for side in margin), (0, 0)], mode="edge")
    bone = np.zeros(velocity.shape[:3], bool)
    bone[tuple((np.rint(index / step).astype(int) + margin).T)] = True
    distance = ndimage.distance_transform_edt(~bone, sampling=step)
    weight = np.clip((FAR - distance) / (FAR - NEAR), 0, 1)
    weight = weight**2 * (3 - 2 * weight)
    return replace(deformation, velocity=velocity * weight[..., None].astype("float32"), margin=margin)
