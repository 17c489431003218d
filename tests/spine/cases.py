"""A made-up spine of small vertebrae whose motions are known, and one of full size."""

import numpy as np
from scipy.spatial.transform import Rotation

from acsgreg_tf.geometry import Affine, Composite, Grid, network_grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.spine import Bone
from tests.registration.cases import depth

LEVELS = ("L1", "L2", "L3")
# mm from one small vertebra to the next, which leaves a joint of a millimetre between them.
DISTANCE = 15.0


def rigid(angles_deg, shift, about):
    """An Affine that turns about a point by rotations about x, y, z (fixed axes), and shifts, RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = np.array(about) + shift - matrix[:3, :3] @ about
    return Affine(matrix)


def bent(number, degrees=8.0):
    """The motion of the small vertebra with a number, head to foot: the spine bends, and all of it goes elsewhere."""
    about = np.array([0, 0, -DISTANCE * number])
    turn = degrees * (1 - number)
    own = rigid((turn, 0.3 * turn, -0.2 * turn), (0.4 * number, -1.0 * (number == 1), 0.5 * number), about)
    return Affine(rigid((4, -3, 20), (300, -50, 20), (0, 0, 0)).matrix @ own.matrix)


def bones(affines, transforms=None):
    """Bones of the made-up vertebra, one below the other, each with an affine, and a transform that is the affine."""
    made = []
    for number, (level, affine) in enumerate(zip(LEVELS, affines, strict=False)):
        place = np.array([0, 0, -DISTANCE * number])
        grid = network_grid(place, (32, 32, 32))
        share = np.clip(depth(grid.points() - place) + 0.5, 0, 1).astype(np.float32)
        whole = Composite([affine]) if transforms is None else transforms[number]
        made.append(Bone(level, share, grid, affine, whole))
    return made


def phantom_spine(motions, spacing=1.0, seed=3):
    """(label map, the motions): phantoms of full size one below the other, each taken along by a motion.

    Args:
        motions: By level, an Affine, RAS mm; {level: None} leaves it in place.
        spacing: Of the label map's voxels, mm.
        seed: Of the person.
    """
    from acsgreg_tf.geometry import resample
    from acsgreg_tf.synthesis.phantom import vertebra

    grids, sdfs = {}, {}
    for number, level in enumerate(motions):
        sdfs[level] = np.ascontiguousarray(vertebra(seed, level))
        grids[level] = network_grid((0, 0, -38.0 * number), sdfs[level].shape)
    middle = grids[list(motions)[len(motions) // 2]].center
    moved_middle = middle
    for motion in motions.values():
        moved_middle = middle if motion is None else motion.apply(middle)
    shape = tuple(int(side / spacing) for side in (130, 140, 40 * len(motions) + 50))
    grid = network_grid(moved_middle, shape, spacing)
    labels = np.zeros(shape, np.int16)
    for number, (level, motion) in enumerate(motions.items(), 20):
        back = None if motion is None else motion.inverse()
        inside = resample(-sdfs[level], grids[level], grid, back, fill=-50.0) > 0
        labels[inside] = number
    return Image(labels, grid, "phantom")


def turned_about(level_number, angles_deg, shift, everything=None):
    """A motion about a phantom's place in `phantom_spine`, followed by one of the whole person."""
    own = rigid(angles_deg, shift, (0, 0, -38.0 * level_number))
    return own if everything is None else Affine(everything.matrix @ own.matrix)


def box_grid(shape=(20, 22, 24)):
    """A plain 1 mm grid."""
    return Grid(shape, np.eye(4))
