"""A cohort of vertebrae: its manifest, who is trained on and who is tested, and the pairs that the paper's studies take.

Section 3.1 and 3.2 of the paper: at each level some samples, chosen at random, are for testing and the rest for training,
and every sample is registered to every other one of its level. Nothing here reads an image.
"""

import csv
import json
import os
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from acsgreg_tf._files import atomic_path
from acsgreg_tf.errors import InputError

__all__ = [
    "COLUMNS", "PARTS", "Sample", "Split", "make_split", "mixed_pairs", "ordered_pairs", "read_manifest", "read_split",
    "usable", "write_manifest", "write_pairs", "write_split",
]  # fmt: skip

COLUMNS = ("person", "level", "image", "label", "source", "volume_ml", "whole", "notes")
PARTS = ("train", "val", "test")
PAIR_COLUMNS = ("fixed", "fixed_seg", "moving", "moving_seg", "level")
KINDS = ("level", "person")


@dataclass(frozen=True)
class Sample:
    """One line of a manifest: a vertebra, or the reason why a scan gave none.

    Attributes:
        person: whose it is.
        level: "L1" and so on; "" where a scan failed before its levels were known.
        image: path of the crop, network space, in [0, 1]; "" where there is none.
        label: path of its mask.
        source: what it was made from.
        volume_ml: of the mask; None where there is none.
        whole: "yes", "cut" (by the scan's edge or the network's box), or "" where there is no vertebra.
        notes: what a user should know.
    """

    person: str
    level: str
    image: str = ""
    label: str = ""
    source: str = ""
    volume_ml: float | None = None
    whole: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Split:
    """Who is trained on and who is tested.

    Attributes:
        train, val, test: Samples of each part, in the manifest's order.
        by: "level" or "person" (see `make_split`).
        seed: what the choice followed from.
        left_out: Samples in no part: surplus levels of people in val or test.
    """

    train: tuple
    val: tuple
    test: tuple
    by: str
    seed: int
    left_out: tuple = ()


def read_manifest(path, check_files=True):
    """The Samples of a manifest: CSV with COLUMNS (more are allowed), paths relative to its own folder.

    Args:
        path: of the CSV.
        check_files: that every image and label named is there.

    Returns:
        A list of Samples in the file's order, their paths joined to the manifest's folder.

    Raises:
        InputError: the file cannot be read or lacks a column; naming the line: an image without a person, a level or a
            label, an image that an earlier line has, a file that is not there, a `whole` that is neither yes, cut nor
            empty, a volume that is no positive number.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a manifest ({error.__class__.__name__})") from error
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}, so it is no manifest")
    seen, samples = set(), []
    for number, row in enumerate(rows, start=2):
        sample = _sample(row, path, f"{path}, line {number}", check_files)
        if sample.image and sample.image in seen:
            raise InputError(f"{path}, line {number}: {row['image']} is named twice")
        seen.add(sample.image)
        samples.append(sample)
    return samples


def _sample(row, path, where, check_files):
    row = {name: (row[name] or "").strip() for name in COLUMNS}
    if row["image"]:
        for name in ("person", "level", "label"):
            if not row[name]:
                raise InputError(f"{where}: {row['image']} has no {name}")
    if row["whole"] not in ("yes", "cut", ""):
        raise InputError(f"{where}: whole must be yes, cut or empty, not {row['whole']!r}")
    volume = None
    if row["volume_ml"]:
        try:
            volume = float(row["volume_ml"])
        except ValueError:
            volume = np.nan
        if not 0 < volume < np.inf:
            raise InputError(f"{where}: volume_ml must be a positive number, not {row['volume_ml']!r}")
    for name in ("image", "label"):
        if row[name]:
            row[name] = str(path.parent / row[name])
            if check_files and not Path(row[name]).is_file():
                raise InputError(f"{where}: {row[name]} is not there")
    return Sample(**{**row, "volume_ml": volume})


def write_manifest(path, samples, extra=None):
    """Write Samples as `read_manifest` reads them; whole or not at all.

    Args:
        path: of the CSV.
        samples: Samples.
        extra: further columns, a dict for each sample with the same keys.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    extra = extra or [{} for _ in samples]
    more = list(extra[0]) if extra else []
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *more])
        writer.writeheader()
        for sample, others in zip(samples, extra, strict=True):
            row = {field.name: getattr(sample, field.name) for field in fields(sample)}
            for name in ("image", "label"):
                row[name] = _relative(row[name], path)
            row["volume_ml"] = "" if sample.volume_ml is None else f"{sample.volume_ml:.2f}"
            row["notes"] = " ".join(sample.notes.split())
            writer.writerow(row | others)


def _relative(name, path):
    """`name` as seen from the folder of `path`, with forward slashes."""
    return Path(os.path.relpath(name, path.parent or ".")).as_posix() if name else ""


def usable(samples, cut=False):
    """The Samples that show a vertebra; cut ones too if `cut`."""
    return [s for s in samples if s.image and (s.whole != "cut" or cut)]


def make_split(samples, by="level", test_per_level=10, val_per_level=0, seed=0):
    """Choose who is tested; the rest is trained on. The same seed and samples give the same split on any machine.

    by="level" is the paper's: at each level `test_per_level` samples are drawn, whatever the other levels drew, so that a
    person tested at L1 may be trained on at L2. by="person" keeps a person's levels on one side: people are drawn until
    each level has its number; what they have beyond that number is left out of every part. Of a person who has a level
    twice (two scans) one is held out and the other left out.

    Args:
        samples: Samples that show a vertebra (`usable`).
        by: "level" or "person".
        test_per_level: people tested at each level, 2 at least (90 ordered pairs for the paper's 10).
        val_per_level: further people held out at each level, who choose the best network in training; the paper has none.
        seed: not negative.

    Raises:
        InputError: a value that breaks these rules, or a level with too few people (for training, two must be left).
    """
    if by not in KINDS:
        raise InputError(f"split {by!r}: must be one of {', '.join(KINDS)}")
    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    if test_per_level < 2:
        raise InputError(f"test_per_level {test_per_level}: a pair needs two samples")
    if val_per_level < 0 or val_per_level == 1:
        raise InputError(f"val_per_level {val_per_level}: must be 0, or 2 at least for a pair")
    if not samples:
        raise InputError("no samples to split: none of them shows a whole vertebra")
    held = test_per_level + val_per_level
    levels = sorted({s.level for s in samples})
    for level in levels:
        count = len({s.person for s in samples if s.level == level})
        if count < held + 2:
            raise InputError(f"level {level}: {count} people, but {held} are to be held out and training needs two more")
    found = {"train": tuple(samples), "val": (), "test": (), "left_out": ()}
    for part, wanted in (("test", test_per_level), ("val", val_per_level)):
        rest, stream = found["train"], [seed, PARTS.index(part)]
        if by == "person":
            draws = [_draw(rest, wanted, stream)]
        else:
            # A stream for each level: its people do not change with the other levels' samples.
            draws = [
                _draw([s for s in rest if s.level == level], wanted, [*stream, zlib.crc32(level.encode())]) for level in levels
            ]
        chosen, surplus = ({s.image for draw in draws for s in draw[which]} for which in (0, 1))
        found["train"] = tuple(s for s in rest if s.image not in chosen | surplus)
        found[part] = tuple(s for s in rest if s.image in chosen)
        found["left_out"] += tuple(s for s in rest if s.image in surplus)
    for level in levels:
        people = {part: len({s.person for s in found[part] if s.level == level}) for part in PARTS}
        if people["train"] < 2 or people["test"] < test_per_level or people["val"] < val_per_level:
            held = ", ".join(f"{part} {count}" for part, count in people.items())
            raise InputError(f"level {level}: its people cannot be split so ({held}); hold out fewer")
    return Split(**found, by=by, seed=seed)


def _draw(samples, wanted, seed):
    """(chosen, surplus): people in random order until each level has `wanted` of them, and what else these people have.

    First come those whose levels are all still wanted, then whoever has one that is short.
    """
    people = {}
    for sample in sorted(samples, key=_identity):
        people.setdefault(sample.person, {}).setdefault(sample.level, sample)
    names = sorted(people)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    short = {sample.level: wanted for sample in samples}
    drawn, chosen = set(), set()
    for enough in (all, any):
        for name in order:
            if name not in drawn and enough(short[level] > 0 for level in people[name]):
                drawn.add(name)
                for level, sample in people[name].items():
                    if short[level] > 0:
                        short[level] -= 1
                        chosen.add(sample)
    return chosen, {s for s in samples if s.person in drawn and s not in chosen}


def _identity(sample):
    """What a draw sorts by: where the cohort lies must not matter."""
    return sample.person, sample.level, Path(sample.image).name


def write_split(path, split, manifest):
    """Write a Split as JSON, its samples named by their images as the manifest does; whole or not at all."""
    path, manifest = Path(path), Path(manifest)
    text = {"manifest": _relative(str(manifest), path), "by": split.by, "seed": split.seed}
    for part in (*PARTS, "left_out"):
        text[part] = [_relative(sample.image, manifest) for sample in getattr(split, part)]
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def read_split(path, manifest=None):
    """The Split that `write_split` wrote.

    Args:
        path: of the JSON.
        manifest: path of the manifest, if it is not where the split says.

    Raises:
        InputError: a file that is no split, one that names a sample which the manifest lacks or names one twice; whatever
            `read_manifest` refuses.
    """
    path = Path(path)
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        parts = {part: [str(name) for name in text[part]] for part in (*PARTS, "left_out")}
        by, seed, named = str(text["by"]), int(text["seed"]), str(text["manifest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a split ({error.__class__.__name__})") from error
    manifest = Path(manifest) if manifest is not None else path.parent / named
    samples = {_relative(s.image, manifest): s for s in read_manifest(manifest) if s.image}
    seen = set()
    for name in (name for names in parts.values() for name in names):
        if name not in samples:
            raise InputError(f"{path}: names {name}, which {manifest} does not hold")
        if name in seen:
            raise InputError(f"{path}: names {name} twice")
        seen.add(name)
    return Split(**{part: tuple(samples[name] for name in names) for part, names in parts.items()}, by=by, seed=seed)


def ordered_pairs(samples):
    """All ordered pairs (fixed, moving) of different people at the same level, by level: n(n-1) for n people."""
    return [(f, m) for members in _levels(samples) for f in members for m in members if f.person != m.person]


def mixed_pairs(samples, per_sample=10, seed=0):
    """The training pairs of the paper's studies II and III, levels mixed: each sample is fixed for `per_sample` others.

    The others are of its level, of other people, and all different; where there are fewer, each is taken. 48, 50, 51, 51 and
    50 samples give 2500 pairs.

    Returns:
        A list of (fixed, moving), by level; training shuffles.

    Raises:
        InputError: `per_sample` is not positive.
    """
    if per_sample < 1:
        raise InputError(f"per_sample {per_sample}: must be at least 1")
    pairs = []
    for members in _levels(samples):
        rng = np.random.default_rng([seed, zlib.crc32(members[0].level.encode())])
        for fixed in members:
            others = [s for s in members if s.person != fixed.person]
            pairs += [(fixed, others[i]) for i in rng.permutation(len(others))[:per_sample]]
    return pairs


def _levels(samples):
    """The samples of each level, in a fixed order."""
    return [sorted((s for s in samples if s.level == level), key=_identity) for level in sorted({s.level for s in samples})]


def write_pairs(path, pairs):
    """Write pairs (fixed, moving) as the CSV that `evaluation.read_pairs` and `test.py --pairs` read; whole or not at all."""
    path = Path(path)
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(PAIR_COLUMNS)
        for fixed, moving in pairs:
            names = (fixed.image, fixed.label, moving.image, moving.label)
            writer.writerow([*(_relative(name, path) for name in names), fixed.level])
