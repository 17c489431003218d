"""Writing of NIfTI files."""

import contextlib
import gzip
import os

import nibabel as nib
import numpy as np

from acsgreg_tf.io.files import atomic_path, ending_of

__all__ = ["write_nifti"]

_Packed: type[gzip.GzipFile] = gzip.GzipFile
with contextlib.suppress(ImportError):  # no wheel for this machine
    from isal.igzip import IGzipFile  # ISA-L packs several times as fast as zlib

    _Packed = IGzipFile


def write_nifti(path: str | os.PathLike, image: nib.Nifti1Image) -> None:
    """Write a NIfTI image, .nii or .nii.gz; whole or not at all.

    The same image gives the same bytes again, on the same machine with the same packages.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    # In the file's order, the first axis fastest: nibabel would reorder in small pieces.
    ordered = nib.Nifti1Image(np.asfortranarray(image.dataobj), image.affine, image.header)
    for field in ("scl_slope", "scl_inter"):  # which an image forgets
        ordered.header[field] = image.header[field]
    with atomic_path(path) as temporary:
        if ending_of(path) == ".nii":
            nib.save(ordered, temporary)
            return
        with open(temporary, "wb") as file, _Packed("", "wb", 1, file, mtime=0) as packed:
            ordered.to_stream(packed)
