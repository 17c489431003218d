"""Who is trained on and who is tested (section 3.1 of the paper)."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsgreg_tf.cohort.manifest import read_manifest, relative_name, sample_key
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path

PARTS = ("train", "val", "test")


KINDS = ("level", "person")


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
            raise InputError(
                f"level {level}: {count} people, but {held} are to be held out and training needs two more"
            )
    found = {"train": tuple(samples), "val": (), "test": (), "left_out": ()}
    for part, wanted in (("test", test_per_level), ("val", val_per_level)):
        rest, stream = found["train"], [seed, PARTS.index(part)]
        if by == "person":
            draws = [_draw(rest, wanted, stream)]
        else:
            # A stream for each level: its people do not change with the other levels' samples.
            draws = [
                _draw([s for s in rest if s.level == level], wanted, [*stream, zlib.crc32(level.encode())])
                for level in levels
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
    for sample in sorted(samples, key=sample_key):
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


def write_split(path, split, manifest):
    """Write a Split as JSON, its samples named by their images as the manifest does; whole or not at all."""
    path, manifest = Path(path), Path(manifest)
    text = {"manifest": relative_name(str(manifest), path), "by": split.by, "seed": split.seed}
    for part in (*PARTS, "left_out"):
        text[part] = [relative_name(sample.image, manifest) for sample in getattr(split, part)]
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
    samples = {relative_name(s.image, manifest): s for s in read_manifest(manifest) if s.image}
    seen = set()
    for name in (name for names in parts.values() for name in names):
        if name not in samples:
            raise InputError(f"{path}: names {name}, which {manifest} does not hold")
        if name in seen:
            raise InputError(f"{path}: names {name} twice")
        seen.add(name)
    return Split(**{part: tuple(samples[name] for name in names) for part, names in parts.items()}, by=by, seed=seed)
