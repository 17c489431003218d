"""Compares the bones of test and training people before anything is measured, a level at a time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cohort.same_person import SAME_PERSON_MM, Bone, compare_people, list_people_bones
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import write_json

__all__ = ["check_people", "read_check"]

_FILE = "people_check.json"
_NEAREST = 3  # pairs of bones that are noted at each level


def check_people(
    data: str, people: str | None, out: Path, processes: int, progress: Callable[[str], Any] = lambda step: None
) -> dict[str, Any]:
    """Compare the two sides of a table of people; levels that were compared before, with the same bones, stay.

    Args:
        data: Folder of the scans.
        people: The table; None is `people.csv` in `data`.
        out: Work folder, which gets `people_check.json`.
        processes: That compare side by side.
        progress: Called with the name of each step.

    Returns:
        As `read_check`.

    Raises:
        InputError: A test person is a training person; the message names both.
    """
    test, train = (list_people_bones(data, side, people) for side in ("test", "train"))
    levels = _read(out)
    for level in LUMBAR:
        sides = [[bone for bone in side if bone.level == level] for side in (test, train)]
        names = [[_name(bone) for bone in side] for side in sides]
        if levels.get(level, {}).get("bones") == names:
            continue
        progress(f"comparing {len(sides[0])} test and {len(sides[1])} training bones, {level}")
        matches = compare_people(sides[0], sides[1], processes)
        nearest = [
            {"mm": match.mm, "level": level, "test": match.first.person, "train": match.second.person}
            for match in matches[:_NEAREST]
        ]
        levels[level] = {"bones": names, "compared": len(matches), "nearest": nearest}
        write_json(out / _FILE, levels)
    check = read_check(out)
    for match in check["nearest"]:
        if match["mm"] < SAME_PERSON_MM:
            raise InputError(
                f"{match['test']} (test) and {match['train']} (train) are one person: their {match['level']} are "
                f"{match['mm']:.2f} mm apart"
            )
    return check


def read_check(out: Path) -> dict[str, Any]:
    """What was compared so far.

    Returns:
        {"compared": pairs of bones, "levels": whose, "nearest": [{"mm", "level", "test", "train"}], nearest first}.
    """
    levels = _read(out)
    nearest = [match for level in levels.values() for match in level["nearest"]]
    return {
        "compared": sum(level["compared"] for level in levels.values()),
        "levels": [level for level in LUMBAR if level in levels],
        "nearest": sorted(nearest, key=lambda match: match["mm"]),
    }


def _read(out: Path) -> dict[str, Any]:
    try:
        levels = json.loads((out / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {level: entry for level, entry in levels.items() if level in LUMBAR}


def _name(bone: Bone) -> str:
    return f"{bone.person} {Path(bone.label).name}"
