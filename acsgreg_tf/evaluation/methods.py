"""What can be measured: a network through `register`, a network on crops as they are, another tool."""

import hashlib
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.levels import TABLES
from acsgreg_tf.anatomy.vertebra import extract, pick_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Composite, affine_from_network, field_from_network, resample_label
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration import NO_MODEL, STAGES, default_model, load_model, register, run_network

_LUMBAR = {level: number for level, number in TABLES["verse"].items() if level.startswith("L")}


@dataclass(frozen=True)
class Network:
    """`acsgreg_tf.register` with one model.

    Args:
        model: path of the network; None is the one that comes with the package, "none" refines from nothing.
        options: what `register` is given besides, as (name, value) pairs, such as a number of refinement steps.
        name: what tables call it; None makes one of the model's file name and the options.
    """

    model: str | None = None
    options: tuple = ()
    name: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "model", str(self.model or default_model()))
        if self.name is None:
            more = "".join(f" {name} {value}" for name, value in self.options)
            object.__setattr__(self, "name", f"{Path(self.model).stem}{more}")

    def made_by(self):
        """What a kept row must have been made by: the content of the model's file, and the options."""
        network = "no network" if self.model == NO_MODEL else f"network {_digest(self.model)}"
        fitted = [] if dict(self.options).get("fit_affine") is False else ["affine fitted to the surfaces"]
        return ", ".join([network, *fitted, *(f"{name}={value}" for name, value in self.options)])

    def check(self):
        """Raise InputError if the model cannot be used."""
        _network(self.model)

    def run(self, pair):
        fixed_seg, moving_seg = _labels(pair)
        result = register(
            pair["fixed"],
            pair["moving"],
            model=_network(self.model),
            fixed_seg=fixed_seg,
            moving_seg=moving_seg,
            **dict(self.options),
        )
        if result.summary.get("refinement", {}).get("stopped"):
            raise KeyboardInterrupt  # Ctrl-C ends the run: a refinement cut short is no measure of the method
        return result


@dataclass(frozen=True)
class Crops:
    """A network on crops as they are, whatever their spacing: the studies' reduced vertebrae.

    Args:
        model: path of the network, whose shape is the crops'.
        name: what tables call it.
    """

    model: str
    name: str

    def made_by(self):
        return f"network {_digest(self.model)}"

    def check(self):
        _network(self.model)

    def run(self, pair):
        fixed, moving = as_image(pair["fixed"]), as_image(pair["moving"])
        fixed_seg, moving_seg = _labels(pair)
        for image, seg in ((fixed, fixed_seg), (moving, moving_seg)):
            if not seg.grid.isclose(image.grid):
                raise InputError(f"{seg.name}: does not lie on the grid of {image.name}")
        network = _network(self.model)
        begun = time.perf_counter()
        found = run_network(network, fixed.data, moving.data)
        phi, inverse = found.phi, found.inverse
        seconds = time.perf_counter() - begun
        fixed = SimpleNamespace(image=fixed.data, label=fixed_seg.data > 0, grid=fixed.grid, notes=())
        moving = SimpleNamespace(image=moving.data, grid=moving.grid, number=pick_label(moving_seg), notes=())
        return _outcome(fixed, moving, moving_seg, seconds, found.affine, phi, inverse)


@dataclass(frozen=True)
class Peer:
    """Another registration tool, one of `peers.PEERS`, on the crops that a network would get."""

    name: str

    def made_by(self):
        from acsgreg_tf.evaluation.peers import version_of

        return version_of(self.name)

    def check(self):
        from acsgreg_tf.evaluation.peers import check_peer

        check_peer(self.name)

    def run(self, pair):
        from acsgreg_tf.evaluation.peers import register_peer

        fixed_seg, moving_seg = _labels(pair)
        fixed = extract(as_image(pair["fixed"]), fixed_seg, shape=NETWORK_SHAPE)
        moving = extract(as_image(pair["moving"]), moving_seg, shape=NETWORK_SHAPE)
        found = register_peer(self.name, fixed.image, moving.image)
        return _outcome(fixed, moving, moving_seg, found.seconds, found.affine, found.displacement, found.inverse)


def _outcome(fixed, moving, moving_seg, seconds, affine, phi, inverse):
    """What `measure` needs of an answer in network space: a Result's attributes, without its outputs."""
    affine, start = (affine_from_network(m, fixed.grid, moving.grid) for m in (affine, np.eye(3, 4)))
    transforms = (start, affine, Composite([field_from_network(phi, fixed.grid), affine]))
    one = moving_seg.data == moving.number
    error = float("nan")
    if inverse is not None:
        spacing = fixed.grid.spacing
        error = metrics.inverse_consistency_error(phi, inverse, spacing=spacing, mask=fixed.image > 0).mean
    return SimpleNamespace(
        fixed=fixed,
        labels={
            s: resample_label(one, moving_seg.grid, fixed.grid, t) for s, t in zip(STAGES, transforms, strict=True)
        },
        displacement=phi,
        summary={
            "folds": {},
            "inverse_error_mm": error,
            "seconds": {"registering": seconds},
            "warnings": [*fixed.notes, *moving.notes],
        },
    )


def _labels(pair):
    """The fixed and the moving label map with the pair's vertebra alone.

    Its number is the pair's `label`; else, in a map that holds several vertebrae, that of its level in VerSe's table, as in
    a whole scan. A map with one vertebra only, such as a crop's, may call it anything but another lumbar level.
    """
    found = []
    for name in ("fixed_seg", "moving_seg"):
        seg = as_label(pair[name])
        if pair["label"]:
            number = pick_label(seg, int(pair["label"]))
        elif pair["level"] in _LUMBAR:
            number, present = _LUMBAR[pair["level"]], np.unique(seg.data[seg.data > 0])
            alone = len(present) == 1 and present[0] not in _LUMBAR.values()
            number = pick_label(seg, None if alone else number)
        else:
            number = pick_label(seg)
        found.append(Image(np.where(seg.data == number, seg.data, 0), seg.grid, seg.name))
    return found


def _network(path):
    """Each process reads a network once, and again if its file has changed."""
    return (
        NO_MODEL
        if path == NO_MODEL
        else _read_network(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else None)
    )


@lru_cache(maxsize=4)
def _read_network(path, written):
    return load_model(path)


def _digest(path):
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
