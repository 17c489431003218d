"""Crops on disk and generators of small vertebrae, for the tests of cohorts and of the batches made from them."""

import os
import signal

import nibabel as nib
import numpy as np

from acsgreg_tf.synthesis.generator import CohortGenerator

CROP_SHAPE = (8, 6, 4)
SMALL_SHAPE = (32, 32, 16)  # of `generator`


def write_crops(folder):
    """Six crops whose single value identifies them, three of one level and three of another.

    Returns:
        (images, labels, levels): two lists of paths and a list of words.
    """
    images, labels = [], []
    for i in range(6):
        volume = np.zeros(CROP_SHAPE, "float32")
        volume[2:6, 2:5, 1:3] = (i + 1) / 8
        volume[2, 2, 1] = 1.0  # breaks the left-right symmetry
        for names, data in ((images, volume), (labels, (volume > 0).astype("uint8"))):
            names.append(str(folder / f"{i}_{len(names)}_{data.dtype}.nii.gz"))
            nib.save(nib.Nifti1Image(data, np.eye(4)), names[-1])
    return images, labels, ["L1"] * 3 + ["L2"] * 3


def generator(seed=1):
    """The phantom's vertebrae in voxels of 4 mm."""
    return CohortGenerator(seed, spacing=4)


class Logging(CohortGenerator):
    """Makes small vertebrae and writes the number of each to a file as it is made."""

    def __init__(self, log):
        super().__init__(1, spacing=4)
        self.log = log

    def make(self, index):
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{index}\n")
        return super().make(index)


class Deadly(CohortGenerator):
    """Kills its process where vertebra 3 is asked for."""

    def __init__(self):
        super().__init__(1, spacing=4)

    def make(self, index):
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().make(index)
