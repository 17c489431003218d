"""What all readers and writers of files share: endings, errors in one line, and no half-written output."""

import errno
import os
import uuid
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib

from acsgreg_tf.errors import InputError

# What the operating system says when a place cannot be written; anything else is a fault of ours.
_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}

# What numpy, nibabel and ITK raise on a file that is no good.
READ_FAULTS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, nib.filebasedimages.ImageFileError),
    *(nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError),
)


def ending_of(path):
    """The ending that decides a file's format, in lower case: `.nii.gz` as one, otherwise the last, or ""."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def one_line(error):
    """The last line of an error's message, which is where ITK puts the cause, or the error's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1].removeprefix("sitk::ERROR: ") if lines else type(error).__name__)[:200]


@contextmanager
def atomic_path(path):
    """Yield a temporary name beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name ends like `path` does (`.nii.gz` included), since writers choose the format by the
    ending.

    Args:
        path: where the finished file shall lie.

    Yields:
        The `pathlib.Path` to write to. The body must create it.

    Raises:
        InputError: the folder does not exist or cannot be written, or `path` is a folder or a device.
    """
    target = Path(path)
    check_writable(target)
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise InputError(f"{target}: cannot be written ({error.strerror})") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path):
    """Raise InputError unless `path` can be written; for finding out before hours of work, not after.

    Args:
        path: the file that will be written later.

    Raises:
        InputError: as for `atomic_path`.
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"{target}: the output folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{target}: the output folder {folder} cannot be written")
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: is not a regular file, so it cannot be replaced")
