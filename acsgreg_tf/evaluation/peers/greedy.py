"""greedy (Yushkevich et al., github.com/pyushkevich/greedy), through picsl-greedy."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side
from acsgreg_tf.geometry import Affine, Grid, affine_to_network, field_to_network
from acsgreg_tf.io.transforms import read_displacement, to_sitk

# In a process of its own: on some inputs greedy ends the process that it runs in.
_PROGRAM = "import sys, picsl_greedy\nfor line in sys.argv[1:]:\n    picsl_greedy.Greedy3D().execute(line)"


@dataclass(frozen=True)
class GreedyPeer(Peer):
    """An affine of the images by NCC, then greedy's deformation.

    Args:
        sees: What the deformation compares: "image" is the masked CT, "distance" the signed distance to the label's
            surface, mm, cut at `reach`, "mask" the label itself.
        metric: Of the deformation, such as "WNCC 2x2x2" or "SSD".
        smoothing: Standard deviations by which each step and the whole deformation are smoothed, voxels.
        iterations: At each level, coarse to fine.
        options: Further options of the deformable stage; "-sv" makes it the exponential of a stationary velocity.
        reach: Where distances are cut, mm.
    """

    sees: tuple[str, ...] = ("image",)
    metric: str = "WNCC 2x2x2"
    smoothing: tuple[float, float] = (1.0, 0.5)
    iterations: str = "100x100x50"
    options: str = ""
    reach: float = 5.0

    module: ClassVar[str] = "picsl_greedy"
    package: ClassVar[str] = "picsl-greedy"

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register: the affine, then from it the deformation."""
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for kind in {"image", *self.sees}:
                for which, side in (("fixed", fixed), ("moving", moving)):
                    sitk.WriteImage(to_sitk(_volume(side, kind, self.reach), grid), str(folder / f"{kind}_{which}.nii"))
            image = "-i image_fixed.nii image_moving.nii"
            inputs = " ".join(f"-i {kind}_fixed.nii {kind}_moving.nii" for kind in self.sees)
            first, last = self.smoothing
            _greedy(
                folder,
                f"-d 3 -a -dof 12 {image} -ia-identity -m NCC 2x2x2 -n 100x50x10 -o affine.mat",
                f"-d 3 {inputs} -it affine.mat -m {self.metric} -n {self.iterations} -s {first}vox {last}vox "
                f"{self.options} -o warp.nii -oinv inverse.nii",
            )
            affine = Affine(np.loadtxt(folder / "affine.mat"))
            phi, inverse = (field_to_network(read_displacement(folder / f"{n}.nii")) for n in ("warp", "inverse"))
        return Alignment(affine_to_network(affine, grid, grid), phi, inverse, time.perf_counter() - begun)


def _greedy(folder: Path, *lines: str) -> None:
    """Run command lines of greedy, one after the other, in a folder.

    Raises:
        RuntimeError: It failed or ended its process.
    """
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *lines], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = "".join(f": {line}" for line in done.stderr.strip().splitlines()[-1:])
        raise RuntimeError(f"greedy ended with code {done.returncode}{reason}")


def _volume(side: Side, kind: str, reach: float) -> np.ndarray:
    if kind == "distance":
        return side.distance(reach)
    return side.image if kind == "image" else side.share


PEERS = (
    GreedyPeer("greedy", smoothing=(0.8, 0.4)),
    GreedyPeer("greedy-distance", sees=("distance",), metric="SSD", smoothing=(0.8, 0.4)),
)
