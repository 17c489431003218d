"""What a file can hold: bounds that its header is compared with, before anything of the size it states is allocated."""

import math
import os
from collections.abc import Sequence

from acsgreg_tf.errors import InputError

__all__ = ["MOST_VOXELS", "check_metaimage", "check_packed", "check_voxels"]

# A whole body at 0.7 mm has half as many.
MOST_VOXELS = 2**30

# DEFLATE, which gzip, zip, PNG and HDF5 use, packs no more than this into a byte.
_PACKED = 1032
# Of a text header.
_LONGEST_LINE = 4000


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
    """Raise InputError for a MetaImage header (.mha, .mhd) that MetaIO would read past the end of its own buffers."""
    with open(path, "rb") as file:
        while line := file.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise InputError(f"{path}: cannot be read (a line of its header is longer than {_LONGEST_LINE} bytes)")
            name, _, value = (part.strip() for part in line.partition(b"="))
            if name == b"NDims" and not (value.isdigit() and len(value) == 1):
                raise InputError(f"{path}: cannot be read (NDims must be a digit)")
            if name == b"ElementDataFile":
                return
