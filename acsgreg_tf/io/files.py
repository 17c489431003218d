"""What all readers and writers of files share: endings, one-line errors, and no half-written output."""

import errno
import json
import math
import os
import re
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib

from acsgreg_tf.errors import InputError

# The operating system's reasons why a place cannot be written; any other error is a bug of this package.
_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}

# What numpy, nibabel and ITK raise on a damaged file.
READ_FAULTS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    # numpy reads a damaged .npy header as Python.
    *(SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, nib.filebasedimages.ImageFileError),
    *(nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError),
)


def ending_of(path: str | os.PathLike) -> str:
    """The ending that decides a file's format, in lower case: `.nii.gz` as one, otherwise the last, or ""."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def one_line(error: BaseException) -> str:
    """The last line of an error's message, which is where ITK puts the cause, or the error's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1].removeprefix("sitk::ERROR: ") if lines else type(error).__name__)[:200]


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name ends like `path` does (`.nii.gz` included), since writers choose the format by the ending.

    Args:
        path: Where the finished file shall lie.

    Yields:
        The `pathlib.Path` to write to. The body must create it.

    Raises:
        InputError: The folder does not exist or cannot be written, or `path` is a folder or a device.
    """
    target = Path(path)
    if target.is_symlink():  # to be written through, as by any other program
        target = target.resolve()
    _check_place(target)
    temporary = _temporary(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _CANNOT_WRITE or error.filename == str(temporary):
            raise InputError(f"{target}: cannot be written ({error.strerror})") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove the temporary files that `atomic_path` left in a folder when its process was killed."""
    for path in Path(folder).iterdir():
        if re.match(r"\.[0-9a-f]{8}\.", path.name) and path.is_file():
            path.unlink()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8; whole or not at all.

    Raises:
        InputError: As for `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write plain content as JSON; whole or not at all.

    Raises:
        InputError: As for `atomic_path`.
    """
    write_text(path, json.dumps(content, indent=1) + "\n")


def plain(value: Any) -> Any:
    """The same content with null for the numbers that JSON lacks (NaN, infinity)."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_writable(path: str | os.PathLike) -> None:
    """Raise InputError unless `path` can be written, which is tried; for a check before hours of work.

    Args:
        path: The file that will be written later.

    Raises:
        InputError: As for `atomic_path`.
    """
    target = Path(path)
    _check_place(target)
    temporary = _temporary(target)
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from error


def _check_place(target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"{target}: the output folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{target}: the output folder {folder} cannot be written")
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: is not a regular file, so it cannot be replaced")
