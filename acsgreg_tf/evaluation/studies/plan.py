"""What the studies train and test: a run for each network, level and ablation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acsgreg_tf.errors import InputError

STUDIES = {"I": "AVoxelMorph, a model a level", "II": "AVoxelMorph, mixed levels", "III": "ACSGRegNet, mixed levels"}

# Study III with one thing changed: (what the table calls it, arguments of ACSGRegNet, with labels).
ABLATIONS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "sam": ("without self-attention (SAM)", {"attention": ("cross",)}, True),
    "cam": ("without cross-attention (CAM)", {"attention": ("self",)}, True),
    "gate": ("without the gate (plain sum)", {"fusion": "sum"}, True),
    "labels": ("without labels", {}, False),
    "batch": ("with batch normalisation", {"normalization": "batch", "affine_normalization": "batch"}, True),
    "instance": (
        "with instance normalisation",
        {"normalization": "instance", "affine_normalization": "instance"},
        True,
    ),
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
        repeat: Number of the training among those that differ in their seed alone; it is added to the scale's seed.
    """

    name: str
    title: str
    study: str
    network: str
    changed: dict[str, Any] = field(default_factory=dict)
    level: str | None = None
    labels: bool = True
    repeat: int = 0


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


def plan(
    levels: Sequence[str],
    studies: Sequence[str] = tuple(STUDIES),
    ablations: Sequence[str] = (),
    seeds: int = 1,
) -> list[Run]:
    """The runs of the studies asked for, in order.

    Args:
        levels: Those that are tested.
        studies: Of STUDIES.
        ablations: Of ABLATIONS.
        seeds: Trainings of each network of studies II and III.

    Raises:
        InputError: As `check_names`, or seeds below 1.
    """
    check_names(studies, ablations)
    if seeds < 1:
        raise InputError(f"seeds {seeds}: must be at least 1")
    runs = []
    if "I" in studies:
        runs += [Run(f"study-I-{level}", f"AVoxelMorph {level}", "I", "AVoxelMorph", level=level) for level in levels]
    for study, network in (("II", "AVoxelMorph"), ("III", "ACSGRegNet")):
        if study in studies:
            run = Run(f"study-{study}", network, study, network)
            runs += [run, *(replace(run, name=f"{run.name}-repeat{n}", repeat=n) for n in range(1, seeds))]
    for name in ablations:
        title, changed, labels = ABLATIONS[name]
        runs.append(Run(f"ablation-{name}", title, "ablation", "ACSGRegNet", changed, labels=labels))
    return runs


def check_ablations(ablations: Sequence[str], network: Mapping[str, Any]) -> None:
    """Check that known ablations change something in ACSGRegNet with these arguments.

    Raises:
        InputError: One does not.
    """
    for name in ablations:
        if name not in ablations_of(network):
            raise InputError(f"ablation {name}: changes nothing, the networks of this scale have it already")


def ablations_of(network: Mapping[str, Any]) -> tuple[str, ...]:
    """The ablations that change something in ACSGRegNet with these arguments: not the normalisation that it has.

    >>> ablations_of({}), ablations_of({"normalization": "instance"})
    (('sam', 'cam', 'gate', 'labels', 'instance'), ('sam', 'cam', 'gate', 'labels', 'batch'))
    """
    usual = network.get("normalization", "batch")
    has = {"normalization": usual, "affine_normalization": network.get("affine_normalization") or usual}
    return tuple(name for name, (_, changed, _) in ABLATIONS.items() if changed != has)
