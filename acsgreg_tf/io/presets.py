"""The networks that come with the package, by name."""

from dataclasses import dataclass
from pathlib import Path

from acsgreg_tf.errors import InputError


@dataclass(frozen=True)
class Preset:
    """A network that comes with the package.

    Attributes:
        file: Its name in models/.
        description: What it was trained for.
    """

    file: str
    description: str


PRESETS = {
    "lumbar": Preset(
        "acsgreg_lumbar.h5",
        "ACSGRegNet, deep, for two lumbar vertebrae of one level, masked, 128 x 128 x 64 voxels of 1 mm",
    )
}


def preset_path(name: str) -> Path:
    """Where the file of a preset lies, in a clone or an installation.

    Raises:
        InputError: There is no such preset, or this installation came without its file.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name}: must be one of {', '.join(PRESETS)}, or the path of a model file")
    file, package = PRESETS[name].file, Path(__file__).resolve().parents[1]
    for folder in (package / "models", package.parent / "models"):
        if (folder / file).is_file():
            return folder / file
    raise InputError(f"{file}: this installation came without its network; give a model")
