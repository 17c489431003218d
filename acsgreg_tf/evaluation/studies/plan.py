"""What the studies train and test: a run for each network, level and ablation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from acsgreg_tf.errors import InputError

STUDIES = {"I": "AVoxelMorph, a model a level", "II": "AVoxelMorph, mixed levels", "III": "ACSGRegNet, mixed levels"}

# Study III with one thing taken away: (what the table calls it, arguments of ACSGRegNet, with labels).
ABLATIONS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "sam": ("without self-attention (SAM)", {"attention": ("cross",)}, True),
    "cam": ("without cross-attention (CAM)", {"attention": ("self",)}, True),
    "gate": ("without the gate (plain sum)", {"fusion": "sum"}, True),
    "labels": ("without labels", {}, False),
}


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        name: Name of its folder.
        title: What tables call it.
        study: "I", "II", "III", or "ablation".
        network: Class name.
        changed: Arguments of the network that differ from the scale's.
        level: The only level that it is trained and tested on, or None for all.
        labels: Whether the loss has the two label terms.
    """

    name: str
    title: str
    study: str
    network: str
    changed: dict[str, Any] = field(default_factory=dict)
    level: str | None = None
    labels: bool = True


def check_names(studies: Sequence[str], ablations: Sequence[str]) -> None:
    """Check what was asked for.

    Raises:
        InputError: No study, an unknown study or ablation, or an ablation without study III, its comparison.
    """
    for kind, names, known in (("study", studies, STUDIES), ("ablation", ablations, ABLATIONS)):
        for name in names:
            if name not in known:
                raise InputError(f"{kind} {name!r}: must be one of {', '.join(known)}")
    if not studies:
        raise InputError("studies: none was asked for")
    if ablations and "III" not in studies:
        raise InputError("ablations: are compared with study III, so it has to be run too")


def plan(levels: Sequence[str], studies: Sequence[str] = tuple(STUDIES), ablations: Sequence[str] = ()) -> list[Run]:
    """The runs of the studies asked for, in order.

    Args:
        levels: Those that are tested.
        studies: Of STUDIES.
        ablations: Of ABLATIONS.

    Raises:
        InputError: As `check_names`.
    """
    check_names(studies, ablations)
    runs = []
    if "I" in studies:
        runs += [Run(f"study-I-{level}", f"AVoxelMorph {level}", "I", "AVoxelMorph", level=level) for level in levels]
    if "II" in studies:
        runs.append(Run("study-II", "AVoxelMorph", "II", "AVoxelMorph"))
    if "III" in studies:
        runs.append(Run("study-III", "ACSGRegNet", "III", "ACSGRegNet"))
    for name in ablations:
        title, changed, labels = ABLATIONS[name]
        runs.append(Run(f"ablation-{name}", title, "ablation", "ACSGRegNet", changed, labels=labels))
    return runs
