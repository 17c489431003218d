"""Methods and networks whose outcome is known beforehand."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import Outcome
from acsgreg_tf.evaluation.peers import Alignment, Peer

SIDE = 10  # voxels of a cube


def cube(shift=0):
    """A mask (24, 16, 16) with a cube of SIDE voxels, moved along x."""
    mask = np.zeros((24, 16, 16), bool)
    mask[4 + shift : 4 + shift + SIDE, 3 : 3 + SIDE, 3 : 3 + SIDE] = True
    return mask


def cube_outcome(**changes):
    """Two cubes of 2 mm voxels that lie 4 voxels apart, 2 after the affine, and on each other at the end."""
    outcome = {
        "fixed_label": cube(),
        "spacing": (2.0, 2.0, 2.0),
        "labels": {"before": cube(4), "affine": cube(2), "deformable": cube()},
        "displacement": np.zeros((24, 16, 16, 3), np.float32),
        "seconds": 1.5,
    }
    return Outcome(**outcome | changes)


@dataclass(frozen=True)
class CubeMethod:
    """A Method that returns `cube_outcome` for every pair, and raises for those whose fixed image is `fails_on`.

    Attributes:
        runs: The pairs that it registered in this process.
    """

    name: str = "cubes"
    version: str = "1"
    fails_on: str = ""
    error: type = InputError
    runs: list = field(default_factory=list, compare=False)

    def made_by(self):
        return f"cubes {self.version}"

    def check(self):
        if self.version == "broken":
            raise InputError("cubes: broken")

    def run(self, pair):
        self.runs.append(pair)
        if pair["fixed"] == self.fails_on:
            raise self.error(f"{pair['fixed']}: first line\nlast line")
        return cube_outcome(notes=("a note", "another"))


@dataclass(frozen=True)
class ShiftPeer(Peer):
    """A tool that shifts by a number of voxels along x, or fails."""

    shift: float = 0.0
    module: ClassVar[str] = "numpy"
    package: ClassVar[str] = "numpy"

    def align_on(self, grid, fixed, moving):
        if self.shift > 5:
            raise RuntimeError("Registration failed\nwith error code 1")
        affine = np.eye(3, 4)
        affine[0, 3] = self.shift
        return Alignment(affine, np.zeros((*grid.shape, 3), np.float32), None, 2.5)


def pair(fixed, moving, level="L3"):
    """A row of a list of pairs, of files that need not exist."""
    return {
        "fixed": fixed,
        "fixed_seg": f"{fixed}_seg",
        "moving": moving,
        "moving_seg": f"{moving}_seg",
        "level": level,
        "label": "",
    }


def save_shifting_network(path, inshape, shift):
    """Save a network whose affine is a shift in voxels (3 numbers) and whose velocity is 0, whatever the images."""
    import keras

    from acsgreg_tf.networks import AVoxelMorph

    keras.utils.set_random_seed(0)
    network = AVoxelMorph(
        inshape, affine_features=(2,), encoder_features=(2,), decoder_features=(2, 2), normalization="none"
    )
    dense = network.affine_net.get_layer("matrix").dense
    kernel, _ = dense.get_weights()
    offsets = np.zeros((3, 4), np.float32)
    # AffineMatrix regresses translations in half sides, and divides by the root of its number of features.
    offsets[:, 3] = np.array(shift) / ((np.array(inshape) - 1) / 2) * np.sqrt(len(kernel))
    dense.set_weights([0 * kernel, offsets.ravel()])
    velocity = network.get_layer("velocity")
    velocity.set_weights([0 * weights for weights in velocity.get_weights()])
    network.save(path)
    return str(path)
