"""HDF5 files that may be damaged or hostile: looked through before anything in them is used, and copied clean."""

import io
import os
import zipfile
import zlib
from collections.abc import Iterator

import h5py

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.limits import check_packed

__all__ = ["check_hdf5", "clean_copy"]

# Those of `io.files` but for nibabel's, whose import would double the time that a child process takes to start.
_FAULTS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)


def check_hdf5(path: str | os.PathLike, member: str | None = None) -> None:
    """Look through an HDF5 file, and read all of it once.

    Call it in a process of its own (`io.isolated`): HDF5 may crash on a damaged file.

    Args:
        path: The file.
        member: Its name in the zip archive `path`, where it lies in one.

    Raises:
        InputError: Naming the file: it is damaged, holds links to other files or within itself, data of other files, or
            more data than a file of its size can.
    """
    try:
        source = path if member is None else _member(path, member)
        with h5py.File(source, "r") as file:
            for _, item in _items(path, file):
                dict(item.attrs)
                if isinstance(item, h5py.Dataset):
                    item[()]
    except InputError:
        raise
    except _FAULTS as error:
        raise InputError(f"{path}: a damaged or truncated HDF5 file ({' '.join(str(error).split())[:200]})") from error


def _member(path: str | os.PathLike, member: str) -> io.BytesIO:
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(member))


def clean_copy(path: str | os.PathLike) -> bytes:
    """An HDF5 file written anew from what was read of another, with nothing but its groups, arrays and attributes.

    Call it in a process of its own, as `check_hdf5`.

    Args:
        path: The file.

    Returns:
        The content of the new file, for `h5py.File(io.BytesIO(...))`.

    Raises:
        InputError: As `check_hdf5`.
    """
    memory = io.BytesIO()
    try:
        with h5py.File(path, "r") as old, h5py.File(memory, "w") as new:
            new.attrs.update(old.attrs)
            for name, item in _items(path, old):
                if isinstance(item, h5py.Group):
                    copy: h5py.Group | h5py.Dataset = new.create_group(name)
                else:
                    copy = new.create_dataset(name, data=item[()])
                copy.attrs.update(item.attrs)
    except InputError:
        raise
    except _FAULTS as error:
        raise InputError(f"{path}: a damaged or truncated HDF5 file ({' '.join(str(error).split())[:200]})") from error
    return memory.getvalue()


def _items(path: str | os.PathLike, file: h5py.File) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """All groups and data sets by their full names, groups first; none is followed to elsewhere."""
    size, visited, waiting = os.path.getsize(path), set(), [("", file)]
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            full = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{path}: its entry {full} is a link to elsewhere, which is not followed")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in visited:
                raise InputError(f"{path}: its entry {full} stands in the file twice; is it damaged?")
            visited.add(place)
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise InputError(f"{path}: the data of its entry {full} lie in another file, which is not read")
                check_packed(path, item.size * item.dtype.itemsize if item.size else 0, size)
            elif isinstance(item, h5py.Group):
                waiting.append((f"{full}/", item))
            else:  # a named type, which neither Keras nor ITK writes
                continue
            yield full, item
