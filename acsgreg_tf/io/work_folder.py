"""Folders of long work: claimed with a recipe, resumed with the same recipe, refused to another."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import write_json

__all__ = ["changed_entries", "claim", "make_folder"]


def claim(
    folder: str | os.PathLike, note: str, recipe: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> bool:
    """Make a folder and leave the recipe of what it holds in it, or check that it holds what the same recipe made.

    Args:
        folder: Made if missing, with its parents.
        note: Name of the JSON file that holds the recipe.
        recipe: Everything that the folder's content follows from; must be plain enough for JSON.
        defaults: Entries that a note of an older version lacks, with the values that it meant.

    Returns:
        Whether the folder was claimed before, so that its content can be taken up again.

    Raises:
        InputError: The folder cannot be made or written, its note is damaged, or it names another recipe.
    """
    path = make_folder(folder) / note
    if not path.exists():
        write_json(path, recipe)
        return False
    try:
        changed = changed_entries(json.loads(path.read_text(encoding="utf-8")), recipe, defaults)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a recipe ({error.__class__.__name__})") from error
    if changed:
        raise InputError(f"{path}: this folder was made with another {', '.join(changed)}; choose another folder")
    return True


def changed_entries(
    saved: Mapping[str, Any], recipe: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> list[str]:
    """The names of a recipe's entries whose saved value is another, in the recipe's order.

    Args:
        saved: A recipe as JSON returned it.
        recipe: The present one; tuples count as the lists that JSON makes of them.
        defaults: What `saved` means where it lacks an entry.

    Raises:
        TypeError: `saved` is no mapping.
    """
    saved = {**_as_json(defaults or {}), **saved}
    return [name for name, value in _as_json(recipe).items() if name not in saved or saved[name] != value]


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder, with its parents, unless it is there.

    Raises:
        InputError: It cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made a folder ({error.strerror})") from error
    return Path(path)


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(content)))
