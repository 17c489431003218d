"""ANTs (Avants et al., Medical Image Analysis 2008), through antspyx."""

import glob
import locale
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side
from acsgreg_tf.geometry import Affine, Grid, affine_to_network, field_to_network
from acsgreg_tf.io.transforms import read_displacement, read_itk, to_sitk


@dataclass(frozen=True)
class AntsPeer(Peer):
    """One of antspyx's types of registration of the images.

    Args:
        kind: `type_of_transform` of `ants.registration`.
        options: Its further arguments as (name, value) pairs.
    """

    kind: str = "SyN"
    options: tuple[tuple[str, Any], ...] = ()

    module: ClassVar[str] = "ants"
    package: ClassVar[str] = "antspyx"

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register with ANTs's defaults for the kind."""
        ants = _ants()
        with tempfile.TemporaryDirectory() as folder, _seeded():
            images = [_to_ants(ants, side.image, grid) for side in (fixed, moving)]
            begun = time.perf_counter()
            self._register(ants, images, [], folder)
            return _read(folder, grid, time.perf_counter() - begun)

    def _register(self, ants: Any, images: list[Any], initial: list[str], folder: str) -> None:
        options: dict[str, Any] = dict(self.options) | ({"initial_transform": initial} if initial else {})
        prefix = str(Path(folder) / "transform_")
        ants.registration(*images, type_of_transform=self.kind, outprefix=prefix, **options)


@dataclass(frozen=True)
class AntsLabelPeer(AntsPeer):
    """ANTs's affine of the images, then SyN, which sees the labels too.

    Args:
        sees: What SyN compares: "image", the masked CT, by cross-correlation; "distance", the signed distance to the
            label's surface, cut at `reach`, by mean squares. With both, the distance is a second channel.
        reach: Where distances are cut, mm.
        weight: Of the second channel.
    """

    kind: str = "SyNOnly"
    sees: tuple[str, ...] = ("distance",)
    reach: float = 5.0
    weight: float = 1.0

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register the images, then from their affine on what it `sees`."""
        ants = _ants()
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as first, _seeded():
            images, distances = (
                [_to_ants(ants, volume, grid) for volume in volumes]
                for volumes in ((fixed.image, moving.image), (fixed.distance(self.reach), moving.distance(self.reach)))
            )
            AntsPeer(self.name, self.shape, "Affine")._register(ants, images, [], first)
            (affine,) = glob.glob(f"{first}/*GenericAffine.mat")
            if self.sees == ("distance",):
                metric: dict[str, Any] = {"syn_metric": "meansquares", "syn_sampling": 0}
            else:
                metric = {"syn_metric": "CC", "syn_sampling": 4}
                metric["multivariate_extras"] = [("MeanSquares", *distances, self.weight, 0)]
            chosen = distances if self.sees == ("distance",) else images
            self._with(metric)._register(ants, chosen, [affine], folder)
            return _read(folder, grid, time.perf_counter() - begun)

    def _with(self, metric: dict[str, Any]) -> "AntsPeer":
        return AntsPeer(self.name, self.shape, self.kind, (*metric.items(), *self.options))


def _ants() -> Any:
    with _locale_restored():
        import ants
    return ants


def _read(folder: str, grid: Grid, seconds: float) -> Alignment:
    """The transforms that ANTs wrote into a folder."""
    (affine,) = glob.glob(f"{folder}/*GenericAffine.mat")  # all linear stages in one
    fields = {}
    for path in glob.glob(f"{folder}/*Warp.nii.gz"):
        fields["inverse" if "InverseWarp" in path else "phi"] = field_to_network(read_displacement(path))
    linear = read_itk(affine)
    assert isinstance(linear, Affine)
    phi = fields.get("phi", np.zeros((*grid.shape, 3), np.float32))
    return Alignment(affine_to_network(linear, grid, grid), phi, fields.get("inverse"), seconds)


def _to_ants(ants: Any, volume: np.ndarray, grid: Grid) -> Any:
    image = to_sitk(volume, grid)
    direction = np.reshape(image.GetDirection(), (3, 3))
    return ants.from_numpy(volume, origin=image.GetOrigin(), spacing=image.GetSpacing(), direction=direction)


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed the random points of ANTs's affine, unless the user has set a seed."""
    previous = os.environ.get("ANTS_RANDOM_SEED")
    os.environ["ANTS_RANDOM_SEED"] = previous or "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ["ANTS_RANDOM_SEED"]


@contextmanager
def _locale_restored() -> Iterator[None]:
    """Restore the process's locale: importing ants can change it, and with it how text files are read."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


PEERS = (
    AntsPeer("ants-affine", kind="Affine"),
    AntsPeer("ants-syn", kind="SyN"),
    AntsPeer("ants-syn-full", kind="SyN", options=(("reg_iterations", (100, 70, 50)),)),
    AntsPeer("ants-syn-cc", kind="SyN", options=(("syn_metric", "CC"), ("syn_sampling", 4))),
    AntsPeer("ants-registration-syn", kind="antsRegistrationSyN[s]"),
    AntsLabelPeer("ants-syn-distance", options=(("reg_iterations", (100, 70, 50)),)),
    AntsLabelPeer("ants-syn-both", sees=("image", "distance"), options=(("reg_iterations", (100, 70, 50)),)),
)
