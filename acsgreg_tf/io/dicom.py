"""DICOM series as volumes."""

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line

# How far a DICOM slice may lie from its place in the volume, mm; scanners round to about a hundredth.
_SLICE_TOLERANCE = 0.1


def read_dicom(folder):
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(f"{folder}: is a folder without a DICOM series")
    files = {uid: reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in series}
    if len(series) > 1:
        found = "; ".join(f"{uid} ({len(names)} files)" for uid, names in files.items())
        raise InputError(f"{folder}: holds {len(series)} DICOM series, give a folder with one: {found}")
    names = files[series[0]]
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    # ITK would print a warning of several lines about what the check below says in one.
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{folder}: the DICOM series cannot be read ({one_line(error)})") from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    # ITK stacks slices evenly along their normal, come what may; a missing slice or a tilted gantry would
    # bend space.
    for number in range(len(names) if image.GetDimension() == 3 else 0):
        if reader.HasMetaDataKey(number, "0020|0032"):
            here = np.array(reader.GetMetaData(number, "0020|0032").split("\\"), dtype=float)
            apart = np.linalg.norm(here - image.TransformIndexToPhysicalPoint((0, 0, number)))
            if apart > _SLICE_TOLERANCE:
                raise InputError(
                    f"{folder}: slice {number + 1} of {len(names)} lies {apart:.1f} mm from its place in an "
                    "even stack (a slice is missing, or the gantry was tilted)"
                )
    return image
