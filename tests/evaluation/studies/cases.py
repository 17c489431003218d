"""Samples of a small cohort on disk."""

import nibabel as nib
import numpy as np

from acsgreg_tf.cohort.manifest import Sample

LEVELS = ["L1", "L2", "L3", "L4", "L5"]


def sample(folder, name, image, label, person="p0"):
    paths = []
    for kind, data in (("ct", image), ("seg", label)):
        paths.append(str(folder / f"{name}_{kind}.nii.gz"))
        nib.save(nib.Nifti1Image(data, np.diag([1.0, 1, 1, 1])), paths[-1])
    return Sample(person, "L1", *paths, whole="yes")
