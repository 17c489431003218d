"""The user's cache folder: what can be made again at any time, a bounded number of entries of each kind."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

# Entries of a kind; the ones unused for longest go first.
MOST_ENTRIES = 8
# Seconds.
_DAY = 86400


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
    if not _put(partial, entry, files):
        return partial
    _drop_oldest(root)
    return entry


def _put(partial: Path, entry: Path, files: Sequence[str]) -> bool:
    """Rename a folder to an entry's, unless another process was first; False where what is there cannot be replaced."""
    with suppress(OSError):
        partial.rename(entry)
        return True
    if not _is_whole(entry, files):
        with suppress(OSError):
            damaged = entry.rename(entry.with_name(f".damaged{partial.name}"))
            partial.rename(entry)
            shutil.rmtree(damaged, ignore_errors=True)
            return True
        return False
    shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_whole(entry: Path, files: Sequence[str]) -> bool:
    return all((entry / name).is_file() for name in files)


def _drop_oldest(root: Path) -> None:
    with suppress(OSError):
        age = {entry: time.time() - entry.stat().st_mtime for entry in root.iterdir() if entry.is_dir()}
        entries = sorted((entry for entry in age if entry.name[0] != "."), key=age.__getitem__)
        # Another process may be at work on what is unfinished, unless it was killed long ago.
        unfinished = [entry for entry in age if entry.name[0] == "." and age[entry] > _DAY]
        for entry in entries[MOST_ENTRIES:] + unfinished:
            shutil.rmtree(entry, ignore_errors=True)
