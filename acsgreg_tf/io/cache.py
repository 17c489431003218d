"""The user's cache folder: what can be made again at any time, a bounded number of entries of each kind."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

# Entries of a kind; the ones unused for longest go first.
MOST_ENTRIES = 8


def cache_folder() -> Path:
    """Where cached files lie: ACSGREG_CACHE, or the platform's folder for them."""
    return Path(os.environ.get("ACSGREG_CACHE") or platformdirs.user_cache_path("acsgreg_tf"))


def cached_folder(kind: str, key: str, files: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder of an entry; where it is missing, `make(folder)` fills it first.

    Two processes may make one entry at once: the first to end is used. Where the cache cannot be written, the entry is
    made in a temporary folder, which the system clears.

    Args:
        kind: Name of the kind of entry.
        key: Name of the entry; other contents have another one.
        files: Names of the files in it; an entry that lacks one is made again.
        make: Fills an empty folder.

    Raises:
        Exception: Whatever `make` raises; nothing is cached then.
    """
    root = cache_folder() / kind
    entry = root / key
    if _is_whole(entry, files):
        with suppress(OSError):
            os.utime(entry)
        return entry
    try:
        shutil.rmtree(entry, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    except OSError:
        root, partial = Path(), Path(tempfile.mkdtemp(prefix="acsgreg-"))
    try:
        make(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if root == Path():
        return partial
    try:
        partial.rename(entry)
    except OSError:  # another process was first
        if not _is_whole(entry, files):
            return partial
        shutil.rmtree(partial, ignore_errors=True)
    _drop_oldest(root)
    return entry


def _is_whole(entry: Path, files: Sequence[str]) -> bool:
    return all((entry / name).is_file() for name in files)


def _drop_oldest(root: Path) -> None:
    with suppress(OSError):
        entries = sorted((e for e in root.iterdir() if e.is_dir()), key=lambda e: e.stat().st_mtime, reverse=True)
        for entry in entries[MOST_ENTRIES:]:
            shutil.rmtree(entry, ignore_errors=True)
