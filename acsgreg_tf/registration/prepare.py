"""From what a user names to what the network sees: scans are read, the vertebra is chosen, and cut out of both."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import TABLES, label_of, parse_table
from acsgreg_tf.anatomy.parts import parts_of_vertebra
from acsgreg_tf.anatomy.pieces import without_stray_pieces
from acsgreg_tf.anatomy.vertebra import Vertebra, extract, pick_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import Box, bounding_box
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import Trust, trusted_distance
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.painted import painted
from acsgreg_tf.registration.part_distances import part_distances
from acsgreg_tf.registration.scan import Scan, about
from acsgreg_tf.registration.trust import hidden_region, seen_region


@dataclass(frozen=True)
class Selection:
    """Which vertebra is meant: a number, a level, or neither where each label map holds one.

    Attributes:
        label: The vertebra's number in the label maps.
        level: Its name instead, e.g. "L3".
        table: Which number a level has: "verse", "totalsegmentator", a list such as "L1=20,L2=21", or a mapping.
        moving_label, moving_table: The same for the moving label map; None is `label`, `table`.
    """

    label: int | None = None
    level: str | None = None
    table: str | Mapping[str, int] = "verse"
    moving_label: int | None = None
    moving_table: str | Mapping[str, int] | None = None

    def check(self, fixed_labels: bool, moving_labels: bool) -> None:
        """Raise InputError where the attributes contradict each other, or need a label map that is not there.

        Args:
            fixed_labels: Whether there is a fixed label map.
            moving_labels: Whether there is a moving one.
        """
        if self.moving_label is not None and (not moving_labels or self.level is not None):
            which = "a moving label map" if not moving_labels else "a label; a level's numbers are those of the tables"
            raise InputError(f"moving_label {self.moving_label}: goes with {which}")
        if self.moving_table is not None and self.level is None:
            raise InputError(f"moving_table {self.moving_table}: goes with a level")
        if self.label is not None and self.level is not None:
            raise InputError(f"label {self.label} and level {self.level}: give one of the two")
        for name in ("label", "level"):
            value = getattr(self, name)
            if value is not None and not (fixed_labels or moving_labels):
                raise InputError(f"{name} {value}: needs a label map to look it up in")

    def fixed_number(self) -> int | None:
        """The number asked for in the fixed label map; None is the only one that it holds.

        Raises:
            InputError: The table is none, or lacks the level.
        """
        return self.label if self.level is None else _number_of(self.level, self.table)

    def moving_number(self) -> int | None:
        """The same for the moving label map."""
        if self.level is None:
            return self.label if self.moving_label is None else self.moving_label
        return _number_of(self.level, self.table if self.moving_table is None else self.moving_table)


def _table_of(table: str | Mapping[str, int]) -> Mapping[str, int]:
    return parse_table(table) if isinstance(table, str) else table


def _number_of(level: str, table: str | Mapping[str, int]) -> int:
    return label_of(level, _table_of(table))


def select(fixed: Scan, moving: Scan, selection: Selection) -> tuple[Scan, Scan]:
    """The two scans with the number of the vertebra that is meant; a scan with a number passes unchanged.

    Raises:
        InputError: The selection contradicts itself, or a label map does not hold what is meant.
    """
    selection.check(fixed.label_map is not None, moving.label_map is not None)
    fixed = _picked(fixed, selection.fixed_number, selection.level)
    return fixed, _picked(moving, selection.moving_number, selection.level)


def _picked(scan: Scan, number: Any, level: str | None) -> Scan:
    if scan.label_map is None or scan.number is not None:
        return scan
    picked = number()
    try:
        return with_vertebra(scan, picked)
    except InputError as error:
        if level is None:
            raise
        raise InputError(f"{error} ({level} is {picked} in the table; is it another tool's?)") from error


def with_vertebra(scan: Scan, picked: int | None) -> Scan:
    """A scan with one vertebra of its label map chosen; stray voxels are left out and noted.

    Args:
        scan: Without a label map it passes unchanged.
        picked: The number in the label map; None is the only one that it holds.

    Raises:
        InputError: The label map does not hold it, or holds several.
    """
    if scan.label_map is None:
        return scan
    if picked is None or not (0 < picked <= len(scan.boxes) and scan.boxes[picked - 1] is not None):
        picked = pick_label(scan.label_map, picked)
    box = scan.boxes[picked - 1]
    assert box is not None
    label_map, box, notes = _without_stray_pieces(scan.label_map, picked, box)
    notes += _sixth_note(scan.label_map, picked, scan.boxes)
    return replace(scan, label_map=label_map, number=picked, box=box, notes=notes)


def _without_stray_pieces(label_map: Image, number: int, box: Box) -> tuple[Image, Box, tuple[str, ...]]:
    mask = label_map.data[box] == number
    cleaned = without_stray_pieces(mask)
    notes = []
    if cleaned.voxels:
        data = label_map.data.copy()
        data[box][mask & ~cleaned.mask] = 0
        plural = "" if cleaned.voxels == 1 else "s"
        notes.append(f"{label_map.name}: label {number}: {cleaned.voxels} stray voxel{plural} left out")
        label_map = Image(data, label_map.grid, label_map.name)
        inner = bounding_box(cleaned.mask)
        box = tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(box, inner, strict=True))
    if cleaned.others:
        notes.append(f"{label_map.name}: label {number}: is in {cleaned.others + 1} large pieces")
    return label_map, box, tuple(notes)


def _sixth_note(label_map: Image, number: int, boxes: list[Box | None]) -> tuple[str, ...]:
    """Where VerSe's numbers count six lumbar vertebrae, another tool's may call each by another name."""
    verse = TABLES["verse"]
    if verse["L1"] <= number <= verse["L6"] and len(boxes) >= verse["L6"] and boxes[verse["L6"] - 1] is not None:
        return (f"{label_map.name}: holds a sixth lumbar vertebra (label {verse['L6']})",)
    return ()


def _levels_in(scan: Scan, table: Mapping[str, int]) -> list[str]:
    if scan.label_map is None:
        raise InputError(f"levels: {scan.image.name} has no label map to look them up in")
    return scan.levels(table)


def shared_levels(wanted: str, fixed: Scan, moving: Scan, selection: Selection) -> list[str]:
    """The levels to register between two scans, named and ordered as in the fixed label map's table.

    Args:
        wanted: Names such as "L1,L3", or "all" for those that both label maps hold.
        fixed: A scan with a label map.
        moving: Likewise.
        selection: With the tables of the two.

    Raises:
        InputError: A level is not in the table, or, of all, none is in both label maps.
    """
    table = _table_of(selection.table)
    if wanted.strip().lower() != "all":
        numbers = [label_of(name, table) for name in wanted.split(",")]
        return [level for level, number in table.items() if number in numbers]
    moving_table = table if selection.moving_table is None else _table_of(selection.moving_table)
    in_fixed, in_moving = _levels_in(fixed, table), _levels_in(moving, moving_table)
    shared = [level for level in in_fixed if level.lower() in {other.lower() for other in in_moving}]
    if not shared:
        sides = ((fixed, in_fixed), (moving, in_moving))
        names = "; ".join(
            f"{scan.label_map and scan.label_map.name} holds {', '.join(held) or 'none'}" for scan, held in sides
        )
        raise InputError(f"levels all: no level is in both label maps: {names}")
    return shared


@dataclass(frozen=True, eq=False)
class VertebraPair:
    """Two vertebrae in network space, on grids of one shape.

    Attributes:
        fixed, moving: The two.
        seen: Where each can be compared, (X, Y, Z) bool, None for everywhere (`registration.trust`).
        scan_notes: Warnings about the two label maps, one line each.
        parts: Their maps of parts, of these vertebrae alone, or None unless both have one.
    """

    fixed: Vertebra
    moving: Vertebra
    seen: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    scan_notes: tuple[str, ...] = ()
    parts: tuple[Image, Image] | None = None

    @cached_property
    def distances(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Signed distances (X, Y, Z) in voxels to both surfaces, each None without one. Computed lazily; cached."""
        with ThreadPoolExecutor(2) as pool:
            fixed, moving = pool.map(from_crop, (self.fixed.share, self.moving.share))
        return fixed, moving

    @cached_property
    def trust(self) -> Trust | None:
        """Where the two distances can be relied on; None where both can everywhere. Computed lazily; cached."""
        sides = zip(self.distances, self.seen, strict=True)
        fixed, moving = (None if distance is None else trusted_distance(distance, seen) for distance, seen in sides)
        return None if fixed is None and moving is None else Trust(fixed, moving)

    @cached_property
    def part_distances(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Signed distances to both sides' parts, by name (`part_distances`). Computed lazily; cached."""
        if self.parts is None:
            return {}, {}
        fixed, moving = map(part_distances, self.parts, (self.fixed.grid, self.moving.grid))
        return fixed, moving

    @property
    def notes(self) -> list[str]:
        """Warnings about the two for the user, one line each."""
        return [*self.scan_notes, *self.fixed.notes, *self.moving.notes]


def prepare(fixed: Scan, moving: Scan, shape: tuple[int, ...]) -> VertebraPair:
    """Cut the vertebra out of both scans, as the network sees it.

    Args:
        fixed: The fixed scan, from `select`.
        moving: The moving scan, likewise.
        shape: (X, Y, Z) of the network's grid.

    Raises:
        InputError: As `anatomy.vertebra.extract`; a map of parts without one of the vertebra.
    """

    def side(scan: Scan, flag: str) -> Vertebra:
        return _shown(scan, extract(*about(scan, shape), scan.number, shape, flag))

    with ThreadPoolExecutor(2) as pool:
        sides = list(pool.map(side, (fixed, moving), ("--fixed-seg", "--moving-seg")))
    seen = [_seen(vertebra, scan) for vertebra, scan in zip(sides, (fixed, moving), strict=True)]
    notes = *fixed.notes, *moving.notes, *_mask_notes(sides, (fixed, moving))
    return VertebraPair(sides[0], sides[1], (seen[0], seen[1]), notes, _parts_of_both(fixed, moving))


def _mask_notes(sides: Sequence[Vertebra], scans: Sequence[Scan]) -> list[str]:
    """A mask that lies elsewhere was made for another scan."""
    return [
        f"{scan.ignore.name}: lies nowhere near the vertebra, so it hides nothing; is it of this scan?"
        for vertebra, scan in zip(sides, scans, strict=True)
        if scan.ignore is not None and not hidden_region(vertebra, scan.ignore).any()
    ]


def _parts_of_both(fixed: Scan, moving: Scan) -> tuple[Image, Image] | None:
    """The maps of parts of the two vertebrae alone; None unless both scans have one."""
    if fixed.parts is None or moving.parts is None:
        return None
    one = parts_of_vertebra(fixed.parts, fixed.label_map, fixed.number)
    return one, parts_of_vertebra(moving.parts, moving.label_map, moving.number)


def _shown(scan: Scan, vertebra: Vertebra) -> Vertebra:
    return painted(vertebra) if scan.drawn else vertebra


def _seen(vertebra: Vertebra, scan: Scan) -> np.ndarray | None:
    grids = [image.grid for image in (scan.image, scan.label_map) if image is not None]
    return seen_region(vertebra, grids, scan.ignore)
