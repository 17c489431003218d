"""NIfTI files: written packed by ISA-L, and read to the end of what is packed, where the checksum stands."""

import contextlib
import gzip
import os
from typing import Any

import nibabel as nib
import numpy as np

from acsgreg_tf.io.files import atomic_path, ending_of

__all__ = ["check_end", "load_nibabel", "write_nifti"]

_PACKED = (".nii.gz", ".mgz")
# What may follow the last voxel, MB: an MGH's footer, or padding.
_MOST_BEHIND = 64

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


def load_nibabel(path: str | os.PathLike) -> Any:
    """nibabel's image of a NIfTI or MGH file, whose voxels are read later; call `check_end` once they are.

    Raises:
        Exception: One of `io.files.READ_FAULTS` for a file that is none.
    """
    image: Any = nib.load(path)
    if ending_of(path) in _PACKED:
        image = type(image).from_file_map({"image": nib.FileHolder(os.fspath(path), _Packed(path, "rb"))})
    return image


def check_end(image: Any) -> None:
    """Read a packed file on to its end, where its checksum is compared, and close it.

    nibabel reads no further than the last voxel, so that a damaged file of the right length would pass.

    Raises:
        OSError: The checksum is another one, or far more follows than such files hold.
    """
    file = image.file_map["image"].fileobj
    if isinstance(file, _Packed):
        with file:
            for _ in range(_MOST_BEHIND):
                if not file.read(2**20):
                    return
        raise OSError(f"over {_MOST_BEHIND} MB follow its last voxel")
