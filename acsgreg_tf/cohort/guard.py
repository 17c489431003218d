"""Refuses people who stand on both sides of a split: by their names at once, by the shapes of their bones if asked."""

import itertools
from collections.abc import Sequence

from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.same_person import SAME_PERSON_MM, Bone, compare_people
from acsgreg_tf.cohort.split import PARTS, Split
from acsgreg_tf.errors import InputError

__all__ = ["refuse_shared_names", "refuse_shared_shapes"]


def refuse_shared_names(split: Split, name: str) -> None:
    """Raise InputError where a person is in two parts of a split, under one name.

    The paper's split ("level") draws each level's people by themselves; there it must be the same level, too.

    Args:
        split: Who is trained on and who is tested.
        name: Of the split, for the message.
    """
    for one, other in itertools.combinations(PARTS, 2):
        sides = [{_who(sample, split.by): sample for sample in getattr(split, part)} for part in (one, other)]
        for who in sorted(sides[0].keys() & sides[1].keys()):
            sample = sides[0][who]
            raise InputError(f"{name}: {sample.person} ({sample.level}) stands in {one} and in {other}")


def _who(sample: Sample, by: str) -> tuple[str, ...]:
    return (sample.person, sample.level) if by == "level" else (sample.person,)


def refuse_shared_shapes(split: Split, name: str, processes: int = 1) -> None:
    """Raise InputError where a bone of one part is one of another part, under whatever name (`cohort.same_person`).

    It takes about a second for each two vertebrae of one level that stand in different parts.

    Args:
        split: Who is trained on and who is tested.
        name: Of the split, for the message.
        processes: That compare side by side.
    """
    for one, other in itertools.combinations(PARTS, 2):
        first, second = (_bones(getattr(split, part)) for part in (one, other))
        for match in compare_people(first, second, processes)[:1]:
            if match.mm < SAME_PERSON_MM:
                raise InputError(
                    f"{name}: {match.first.person} in {one} and {match.second.person} in {other} are one person: their "
                    f"{match.level} are {match.mm:.2f} mm apart, {SAME_PERSON_MM} mm or more for two people"
                )


def _bones(samples: Sequence[Sample]) -> list[Bone]:
    return [Bone(sample.person, sample.level, sample.label) for sample in samples]
