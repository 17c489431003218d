"""Who is trained on and who is tested (section 3.1 of the paper)."""

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.cohort.manifest import Sample, read_manifest, relative_name, sample_key
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import write_json

__all__ = ["KINDS", "PARTS", "Split", "check_numbers", "make_split", "read_split", "write_split"]

PARTS = ("train", "val", "test")
KINDS = ("level", "person")
_CURE = "hold out fewer (--test-per-level, --val-per-level) or use cut vertebrae too (--include-cut)"


@dataclass(frozen=True)
class Split:
    """Who is trained on and who is tested.

    Attributes:
        train: Samples to train on, in the manifest's order.
        val: Samples that choose the best network in training.
        test: Samples to test on.
        by: "level" or "person" (see `make_split`).
        seed: What the choice followed from.
        left_out: Samples in no part: surplus levels of people in val or test.
    """

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    by: str
    seed: int
    left_out: tuple[Sample, ...] = ()


def make_split(
    samples: Sequence[Sample],
    by: str = "level",
    test_per_level: int = 10,
    val_per_level: int = 0,
    seed: int = 0,
) -> Split:
    """Choose who is tested; the rest is trained on. The same seed and samples give the same split on any machine.

    by="level" is the paper's: at each level `test_per_level` samples are drawn, whatever the other levels drew, so that
    a person tested at L1 may be trained on at L2. by="person" keeps a person's levels on one side: people are drawn
    until each level has its number; what they have beyond that number is left out of every part. Of a person who has a
    level twice (two scans) one is held out and the other left out.

    Args:
        samples: Samples that show a vertebra (`usable`).
        by: "level" or "person".
        test_per_level: People tested at each level, 2 at least (90 ordered pairs for the paper's 10).
        val_per_level: Further people held out at each level, who choose the best network in training; the paper has
            none.
        seed: Not negative.

    Raises:
        InputError: A value that breaks these rules, or a level with too few people (for training, two must be left).
    """
    check_numbers(by, test_per_level, val_per_level, seed)
    _check_people(samples, test_per_level, val_per_level)
    levels = sorted({s.level for s in samples})
    train = tuple(samples)
    left_out: tuple[Sample, ...] = ()
    held_out: dict[str, tuple[Sample, ...]] = {}
    for part, wanted in (("test", test_per_level), ("val", val_per_level)):
        stream = [seed, PARTS.index(part)]
        if by == "person":
            draws = [_draw(train, wanted, stream)]
        else:
            # A stream for each level: its people do not change with the other levels' samples.
            draws = [
                _draw([s for s in train if s.level == level], wanted, [*stream, zlib.crc32(level.encode())])
                for level in levels
            ]
        chosen, surplus = ({s.image for draw in draws for s in draw[which]} for which in (0, 1))
        held_out[part] = tuple(s for s in train if s.image in chosen)
        left_out += tuple(s for s in train if s.image in surplus)
        train = tuple(s for s in train if s.image not in chosen | surplus)
    split = Split(train, held_out["val"], held_out["test"], by, seed, left_out)
    for level in levels:
        people = {part: len({s.person for s in getattr(split, part) if s.level == level}) for part in PARTS}
        if people["train"] < 2 or people["test"] < test_per_level or people["val"] < val_per_level:
            numbers = ", ".join(f"{part} {count}" for part, count in people.items())
            raise InputError(f"level {level}: its people cannot be split so ({numbers}); {_CURE}")
    return split


def check_numbers(by: str, test_per_level: int, val_per_level: int, seed: int) -> None:
    """Raise InputError for arguments of `make_split` that no samples allow."""
    if by not in KINDS:
        raise InputError(f"split {by!r}: must be one of {', '.join(KINDS)}")
    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    if test_per_level < 2:
        raise InputError(f"test_per_level {test_per_level}: a pair needs two samples")
    if val_per_level < 0 or val_per_level == 1:
        raise InputError(f"val_per_level {val_per_level}: must be 0, or 2 at least for a pair")


def _check_people(samples: Sequence[Sample], test_per_level: int, val_per_level: int) -> None:
    if not samples:
        raise InputError("no samples to split: none of them shows a whole vertebra")
    held_out = test_per_level + val_per_level
    for level in sorted({s.level for s in samples}):
        count = len({s.person for s in samples if s.level == level})
        if count < held_out + 2:
            raise InputError(
                f"level {level}: {count} people, but {held_out} are to be held out and training needs two more; {_CURE}"
            )


def _draw(samples: Sequence[Sample], wanted: int, seed: list[int]) -> tuple[set[Sample], set[Sample]]:
    """Draw people in random order until each level has `wanted` of them.

    First come those whose levels are all still wanted, then whoever has one that is short.

    Returns:
        (chosen, surplus): the samples that count, and what else these people have.
    """
    people: dict[str, dict[str, Sample]] = {}
    for sample in sorted(samples, key=sample_key):
        people.setdefault(sample.person, {}).setdefault(sample.level, sample)
    names = sorted(people)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    short = {sample.level: wanted for sample in samples}
    drawn: set[str] = set()
    chosen: set[Sample] = set()
    for enough in (all, any):
        for name in order:
            if name not in drawn and enough(short[level] > 0 for level in people[name]):
                drawn.add(name)
                for level, sample in people[name].items():
                    if short[level] > 0:
                        short[level] -= 1
                        chosen.add(sample)
    return chosen, {s for s in samples if s.person in drawn and s not in chosen}


def write_split(path: str | os.PathLike, split: Split, manifest: str | os.PathLike) -> None:
    """Write a Split as JSON, its samples named by their images as the manifest names them; whole or not at all.

    Args:
        path: Of the JSON.
        split: A Split.
        manifest: Path of the manifest that its samples are from.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    content: dict[str, Any] = {"manifest": relative_name(str(manifest), path), "by": split.by, "seed": split.seed}
    for part in (*PARTS, "left_out"):
        content[part] = [relative_name(sample.image, manifest) for sample in getattr(split, part)]
    write_json(path, content)


def read_split(path: str | os.PathLike, manifest: str | os.PathLike | None = None) -> Split:
    """Read what `write_split` wrote.

    Args:
        path: Of the JSON.
        manifest: Path of the manifest, if it is not where the split says.

    Raises:
        InputError: The file is no split, names a sample that the manifest lacks, or names one twice; whatever
            `read_manifest` refuses.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {part: [str(name) for name in content[part]] for part in (*PARTS, "left_out")}
        by, seed, named = str(content["by"]), int(content["seed"]), str(content["manifest"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a split ({error.__class__.__name__})") from error
    manifest = Path(manifest) if manifest is not None else path.parent / named
    samples = {relative_name(s.image, manifest): s for s in read_manifest(manifest) if s.image}
    seen: set[str] = set()
    for name in (name for names in parts.values() for name in names):
        if name not in samples:
            raise InputError(f"{path}: names {name}, which {manifest} does not hold")
        if name in seen:
            raise InputError(f"{path}: names {name} twice")
        seen.add(name)
    return Split(**{part: tuple(samples[name] for name in names) for part, names in parts.items()}, by=by, seed=seed)
