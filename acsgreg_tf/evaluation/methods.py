"""What can be measured on pairs: the protocol of a method, and this package's registration behind it."""

import hashlib
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.boxed_pair import BoxedPair
from acsgreg_tf.evaluation.measures import NETWORK_AFFINE, Outcome
from acsgreg_tf.evaluation.pairs import Pair, pair_labels
from acsgreg_tf.evaluation.written import DOMAIN_MM
from acsgreg_tf.geometry import Transform, affine_from_network, resample_label
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import (
    DEFORMABLE,
    NO_MODEL,
    Deformation,
    Options,
    Result,
    default_model,
    load_engine,
    register,
    run_network,
)

# Steps of a registration that make its transform and the inverse; other tools' seconds hold theirs too.
WORK = ("registering", "refining", "inverting")


class Method(Protocol):
    """A way to register a pair; it can be pickled, since worker processes run it."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def made_by(self) -> str:
        """What its results follow from, such as a tool's version; rows made by anything else are not mixed with them.

        Raises:
            InputError: The tool or file is missing.
        """

    def check(self) -> None:
        """Raise InputError if it cannot run."""

    def run(self, pair: Pair) -> Outcome:
        """Register one pair.

        Raises:
            Exception: Whatever the method fails with.
        """


@dataclass(frozen=True)
class RegisterMethod:
    """`acsgreg_tf.register` with one model.

    Args:
        model: Path of the network; "" is the one that comes with the package, "none" refines from nothing.
        options: Further arguments of `register` as (name, value) pairs, such as a number of refinement steps.
        name: What tables call it; "" takes the model's file name and the options.
        with_parts: Let the refinement see the parts of a pair that has them on both sides. What pulls is then what is
            measured: how well parts can be laid on each other, not how well a registration finds them.
    """

    model: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    name: str = ""
    with_parts: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", str(self.model or default_model()))
        if not self.name:
            more = "".join(f" {name} {value}" for name, value in self.options)
            object.__setattr__(self, "name", f"{Path(self.model).stem}{more}{' with parts' * self.with_parts}")

    def made_by(self) -> str:
        """The digest of the model's file, and the options, with the number of steps where it is the default."""
        network = "no network" if self.model == NO_MODEL else f"network {_digest(self.model)}"
        options = dict(self.options)
        fitted = [] if options.get("fit_affine") is False else ["affine fitted to the surfaces"]
        if "refine" not in options:
            options["refine"] = Options(transform=options.get("transform", DEFORMABLE)).steps(self.model != NO_MODEL)
        parts = ["with parts"] if self.with_parts else []
        return ", ".join([network, *fitted, *(f"{name}={value}" for name, value in options.items()), *parts])

    def check(self) -> None:
        """Raise InputError if the model cannot be used."""
        _network(self.model)

    def run(self, pair: Pair) -> Outcome:
        """Register one pair of scans or crops.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the refinement: a refinement cut short is no measure of the method.
        """
        fixed_seg, moving_seg = pair_labels(pair)
        fixed_parts, moving_parts = (
            pair.get(f"{side}_parts") or None if self.with_parts else None for side in ("fixed", "moving")
        )
        result = register(
            pair["fixed"],
            pair["moving"],
            model=_network(self.model),
            fixed_seg=fixed_seg,
            moving_seg=moving_seg,
            fixed_parts=fixed_parts,
            moving_parts=moving_parts,
            **dict(self.options),
        )
        if result.summary.get("refinement", {}).get("stopped"):
            raise KeyboardInterrupt
        return outcome_of(result, moving_seg)


def outcome_of(result: Result, moving_seg: Image) -> Outcome:
    """The outcome of a Result of a pair with two label maps, of which the moving one holds the vertebra alone."""
    summary, box = result.summary, result.fixed.grid
    assert result.labels is not None and result.fixed.label is not None
    transforms: dict[str, Transform] = {
        "before": affine_from_network(np.eye(3, 4), box, result.moving.grid),
        "affine": result.affine,
        "deformable": result.transform,
    }
    labels = dict(result.labels)
    if result.network_affine is not None:
        moving = moving_seg.data > 0
        labels[NETWORK_AFFINE] = resample_label(moving, moving_seg.grid, box, result.network_affine)
    return Outcome(
        fixed_label=result.fixed.label,
        spacing=box.spacing,
        labels=labels,
        displacement=measured_phi(result.deformation),
        seconds=sum(summary["seconds"].get(stage, 0.0) for stage in WORK),
        inverse_error_mm=summary["inverse_error_mm"],
        inverse_error_max_mm=summary["inverse_error_max_mm"],
        network_folds_count=summary["folds"].get("network", float("nan")),
        notes=tuple(summary["warnings"]),
        box=box,
        transforms=transforms,
        inverse=result.inverse,
        moving_box=result.moving.grid,
    )


def measured_phi(deformation: Deformation) -> np.ndarray:
    """phi as far past the box as every answer is measured; it ends before that, or there."""
    missing = np.maximum(int(DOMAIN_MM) - deformation.padding, 0)
    return np.pad(deformation.phi, [*((pad, pad) for pad in missing), (0, 0)])


@dataclass(frozen=True)
class CropMethod:
    """A network alone on crops as they are, whatever their spacing, such as the studies' reduced vertebrae.

    Args:
        model: Path of the network, whose shape is the crops'.
        name: What tables call it.
    """

    model: str
    name: str

    def made_by(self) -> str:
        """The digest of the model's file."""
        return f"network {_digest(self.model)}"

    def check(self) -> None:
        """Raise InputError if the model cannot be used."""
        _network(self.model)

    def run(self, pair: Pair) -> Outcome:
        """Run the network on one pair of crops."""
        crops = BoxedPair.of_crops(pair)
        network = _network(self.model)
        begun = time.perf_counter()
        deformation = run_network(network, crops.fixed, crops.moving)
        phi, inverse = deformation.phi, deformation.inverse
        seconds = time.perf_counter() - begun
        return crops.outcome(deformation.affine, phi, inverse, seconds)


def _network(path: str) -> Any:
    """The network at `path`, read once in each process, and again if the file has changed."""
    if path == NO_MODEL:
        return NO_MODEL
    return _read_network(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else None)


@lru_cache(maxsize=4)
def _read_network(path: str, modified: int | None) -> Any:
    return load_engine(path)


def _digest(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
