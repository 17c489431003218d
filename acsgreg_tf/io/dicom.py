"""DICOM series as volumes, through SimpleITK."""

import os

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line
from acsgreg_tf.io.quiet import without_chatter

__all__ = ["read_dicom"]

# How far a slice may lie from its place in the volume, mm; scanners round to about a hundredth.
_SLICE_TOLERANCE = 0.1


def read_dicom(folder: str | os.PathLike) -> sitk.Image:
    """Read the one DICOM series that a folder holds.

    Args:
        folder: With the slices of one series; other files are ignored.

    Returns:
        The volume as a SimpleITK image.

    Raises:
        InputError: Naming the folder: it holds no series or several, the series cannot be read, or its slices are not
            evenly stacked.
    """
    reader = sitk.ImageSeriesReader()
    try:
        with without_chatter():
            names = _only_series(folder, reader)
            reader.SetFileNames(names)
            reader.MetaDataDictionaryArrayUpdateOn()
            image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{folder}: the DICOM series cannot be read ({one_line(error)})") from error
    _check_stack(folder, reader, image, len(names))
    return image


def _only_series(folder: str | os.PathLike, reader: sitk.ImageSeriesReader) -> tuple[str, ...]:
    """The files of the folder's series, in the order of the slices."""
    files = {uid: reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in reader.GetGDCMSeriesIDs(str(folder))}
    if not files:
        raise InputError(f"{folder}: is a folder without a DICOM series")
    if len(files) > 1:
        listed = "; ".join(f"{uid} ({len(names)} files)" for uid, names in files.items())
        raise InputError(f"{folder}: holds {len(files)} DICOM series, give a folder with one: {listed}")
    return next(iter(files.values()))


def _check_stack(folder: str | os.PathLike, reader: sitk.ImageSeriesReader, image: sitk.Image, slices: int) -> None:
    """Refuse slices that are missing or sheared by a tilted gantry: ITK stacks them evenly, which would bend space."""
    if image.GetDimension() != 3:
        return
    positions = {}
    for number in range(slices):
        if not reader.HasMetaDataKey(number, "0020|0032"):
            continue
        stated = reader.GetMetaData(number, "0020|0032")
        try:
            x, y, z = (float(value) for value in stated.split("\\"))
        except ValueError as error:
            where = f"{folder}: slice {number + 1} of {slices}"
            raise InputError(f"{where}: {stated.strip()[:100]!r} is not a position of three numbers") from error
        positions[number] = np.array((x, y, z))
    _check_gaps(folder, positions)
    for number, position in positions.items():
        distance = np.linalg.norm(position - image.TransformIndexToPhysicalPoint((0, 0, number)))
        if distance > _SLICE_TOLERANCE:
            raise InputError(
                f"{folder}: slice {number + 1} of {slices} lies {distance:.1f} mm from its place in an "
                "even stack (the gantry was tilted, or slices are unevenly spaced)"
            )


def _check_gaps(folder: str | os.PathLike, positions: dict[int, np.ndarray]) -> None:
    """Refuse a stack with a gap that is wider than the others."""
    pairs = [(number, number + 1) for number in positions if number + 1 in positions]
    gaps = np.array([np.linalg.norm(positions[b] - positions[a]) for a, b in pairs])
    usual = np.median(gaps) if len(gaps) else 0.0
    if len(gaps) and gaps.max() > usual + _SLICE_TOLERANCE:
        a, b = pairs[int(gaps.argmax())]
        raise InputError(
            f"{folder}: slices {a + 1} and {b + 1} of {len(positions)} lie {gaps.max():.1f} mm apart, the others "
            f"{usual:.1f} mm: slices are missing"
        )
