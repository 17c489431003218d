"""What a file can hold: bounds that its header is compared with, before anything of the size it states is allocated."""

import math
import os
import re
from collections.abc import Sequence

from acsgreg_tf.errors import InputError

__all__ = ["MOST_VOXELS", "check_metaimage", "check_packed", "check_voxels"]

# A whole body at 0.7 mm has half as many.
MOST_VOXELS = 2**30

# DEFLATE, which gzip, zip, PNG and HDF5 use, packs no more than this into a byte.
_PACKED = 1032
# Of a text header.
_LONGEST_LINE = 4000
# Of a direction, whose axes have length 1; SimpleITK decomposes it, and never ends where numbers overflow.
_LARGEST_COSINE = 1000.0
_DIRECTIONS = (b"TransformMatrix", b"Rotation", b"Orientation")
# A file for each slice: a name with a number in it, the first, the last, the step. MetaIO divides by the step.
_SLICES = re.compile(rb"[^%]*%\d*d[^%]* \d{1,9} \d{1,9} 0*[1-9]\d{0,8}")


def check_voxels(name: str | os.PathLike, shape: Sequence[int]) -> None:
    """Raise InputError for a volume of more than `MOST_VOXELS` voxels.

    Args:
        name: For the message.
        shape: As the header states it.
    """
    if math.prod(shape) > MOST_VOXELS:
        raise InputError(f"{name}: its header asks for {math.prod(shape):.3g} voxels, more than {MOST_VOXELS:g}")


def check_packed(path: str | os.PathLike, content: int, size: int, packed: bool = True) -> None:
    """Raise InputError for a file that is too short for its content.

    Args:
        path: For the message.
        content: Bytes that the header states.
        size: Bytes of the file.
        packed: Whether the content is compressed.
    """
    if content > size * (_PACKED if packed else 1):
        raise InputError(f"{path}: cannot be read (it is shorter than its header says, {content:.3g} bytes of data)")


def check_metaimage(path: str | os.PathLike) -> None:
    """Raise InputError for a MetaImage header (.mha, .mhd) on which MetaIO or SimpleITK would crash or never end."""
    with open(path, "rb") as file:
        while line := file.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise InputError(f"{path}: cannot be read (a line of its header is longer than {_LONGEST_LINE} bytes)")
            name, _, value = (part.strip() for part in line.partition(b"="))
            if name == b"NDims" and not (value.isdigit() and len(value) == 1):
                raise InputError(f"{path}: cannot be read (NDims must be a digit)")
            if name in _DIRECTIONS and not all(_is_cosine(number) for number in value.split()):
                raise InputError(
                    f"{path}: cannot be read ({name.decode()} must hold numbers up to {_LARGEST_COSINE:g})"
                )
            if name == b"ElementDataFile":
                if min(value, default=0) < 32 or (b"%" in value and not _SLICES.fullmatch(value)):
                    raise InputError(f"{path}: cannot be read (ElementDataFile is not the name of a file)")
                return


def _is_cosine(number: bytes) -> bool:
    try:
        return abs(float(number)) <= _LARGEST_COSINE
    except ValueError:
        return False
