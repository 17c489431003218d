"""Which number a vertebra has in a label map.

Segmentation tools number vertebrae in their own ways, so a level ("L3") means nothing without a table.
"""

from collections.abc import Mapping

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import is_label_number

_CERVICAL = [f"C{n}" for n in range(1, 8)]
_THORACIC = [f"T{n}" for n in range(1, 13)]
LUMBAR = ("L1", "L2", "L3", "L4", "L5")

# VerSe (Sekuboyina et al., Medical Image Analysis 2021), used by SPINEPS and TPTBox too: counted from the
# head down, with numbers after the sacrum for what only some people have.
_VERSE = {level: number for number, level in enumerate([*_CERVICAL, *_THORACIC, *LUMBAR, "L6", "sacrum"], 1)}
_VERSE = {**_VERSE, "T13": 28}

# TotalSegmentator version 2, task "total" (its class map): counted from the sacrum up.
_TOTALSEGMENTATOR = {
    level: number for number, level in enumerate(["sacrum", "S1", *reversed([*_CERVICAL, *_THORACIC, *LUMBAR])], 25)
}

# Head to foot, whatever the numbers; a table of the user's own keeps the user's order.
_ANATOMICAL = [*_CERVICAL, *_THORACIC, "T13", *LUMBAR, "L6", "S1", "sacrum"]

TABLES = {
    name: {level: table[level] for level in _ANATOMICAL if level in table}
    for name, table in {"verse": _VERSE, "totalsegmentator": _TOTALSEGMENTATOR}.items()
}


def parse_table(text: str) -> dict[str, int]:
    """The label table that `text` names.

    Args:
        text: "verse", "totalsegmentator" (version 2, task total), or a list "L1=20,L2=21" of one's own.

    Returns:
        A dict level -> label number, e.g. {"L1": 20, ...}.

    Raises:
        InputError: Neither a known name nor such a list; a level or a number occurs twice; a number is not
            positive.
    """
    name = text.strip().lower()
    if name in TABLES:
        return dict(TABLES[name])
    table: dict[str, int] = {}
    for entry in text.split(","):
        level, sign, number = (part.strip() for part in entry.partition("="))
        if not (level and sign and is_label_number(number)):
            known = ", ".join(TABLES)
            raise InputError(f"label table {text!r}: must be {known}, or a list such as L1=20,L2=21 (bad: {entry!r})")
        if _find(level, table) or int(number) in table.values():
            raise InputError(f"label table {text!r}: {entry.strip()!r} repeats a level or a number")
        table[level] = int(number)
    return table


def label_of(level: str, table: Mapping[str, int]) -> int:
    """The label number of a level.

    Args:
        level: Its name, in upper or lower case, e.g. "L3".
        table: A dict from `parse_table`.

    Raises:
        InputError: The table has no such level; the message lists what it has.
    """
    name = _find(level, table)
    if name is None:
        raise InputError(f"level {level!r}: not in the label table, which has {', '.join(table)}")
    return table[name]


def levels_in(label: np.ndarray, table: Mapping[str, int]) -> list[str]:
    """The levels of `table` that a label map holds, in the table's order.

    Args:
        label: Integers (X, Y, Z).
        table: A dict from `parse_table`.

    Returns:
        A list of names, e.g. ["T12", "L1"].
    """
    present = set(np.unique(label).tolist())
    return [level for level, number in table.items() if number in present]


def level_of(number: int | None, table: Mapping[str, int]) -> str | None:
    """The level that a number stands for in a table, or None."""
    return next((level for level, known in table.items() if known == number), None)


def _find(level: str, table: Mapping[str, int]) -> str | None:
    return next((known for known in table if known.lower() == level.strip().lower()), None)
