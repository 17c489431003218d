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

from acsgreg_tf.evaluation.peers.base import Alignment, Peer
from acsgreg_tf.geometry import Affine, Grid, affine_to_network, field_to_network
from acsgreg_tf.io.transforms import read_displacement, read_itk, to_sitk


@dataclass(frozen=True)
class AntsPeer(Peer):
    """One of antspyx's types of registration.

    Args:
        kind: `type_of_transform` of `ants.registration`.
        options: Its further arguments as (name, value) pairs.
    """

    kind: str = "SyN"
    options: tuple[tuple[str, Any], ...] = ()

    module: ClassVar[str] = "ants"
    package: ClassVar[str] = "antspyx"

    def align_on(self, grid: Grid, fixed: np.ndarray, moving: np.ndarray) -> Alignment:
        """Register with ANTs's defaults for the kind."""
        with _locale_restored():
            import ants
        images = [_to_ants(ants, volume, grid) for volume in (fixed, moving)]
        with tempfile.TemporaryDirectory() as folder:
            prefix = str(Path(folder) / "transform_")
            with _seeded():
                begun = time.perf_counter()
                ants.registration(*images, type_of_transform=self.kind, outprefix=prefix, **dict(self.options))
                seconds = time.perf_counter() - begun
            (affine,) = glob.glob(f"{prefix}*GenericAffine.mat")  # all linear stages in one
            fields = {}
            for path in glob.glob(f"{prefix}*Warp.nii.gz"):
                fields["inverse" if "InverseWarp" in path else "phi"] = field_to_network(read_displacement(path))
            linear = read_itk(affine)
        assert isinstance(linear, Affine)
        phi = fields.get("phi", np.zeros((*fixed.shape, 3), np.float32))
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
    AntsPeer("ants-syn-cc", kind="SyN", options=(("syn_metric", "CC"), ("syn_sampling", 4))),
    AntsPeer("ants-registration-syn", kind="antsRegistrationSyN[s]"),
)
