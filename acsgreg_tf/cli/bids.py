"""The option --bids of register.py: outputs named and placed as a BIDS derivative."""

import argparse
import json
import re
from argparse import Namespace
from pathlib import Path

from acsgreg_tf import __version__
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import check_writable, write_json

__all__ = ["add_option", "name_outputs", "write_sidecars"]

_VERSION = "1.10.0"  # of BIDS
_DESCRIPTION = "dataset_description.json"


def add_option(group: argparse._ArgumentGroup) -> None:
    """Add --bids to the group of outputs."""
    group.add_argument(
        "--bids",
        metavar="DIR",
        help="write all outputs that have no name of their own to this BIDS derivative (made if missing, with its "
        f"{_DESCRIPTION}), under the moving scan's subject",
    )


def name_outputs(options: Namespace) -> None:
    """Give the outputs that have no name one in the folder of --bids, which is made; a no-op without the option.

    Raises:
        InputError: The folder holds another kind of data set, or cannot be written.
    """
    if options.bids is None:
        if options.moved is None:
            raise InputError("--moved: is needed, or --bids")
        return
    root = Path(options.bids)
    fixed, moving = _label(options.fixed), _label(options.moving)
    if fixed == moving:
        raise InputError(f"--bids: {options.fixed} and {options.moving} would have one label, {fixed}")
    subject, session = _entities(options.moving)
    folder = root / f"sub-{subject}"
    if session:
        folder /= f"ses-{session}"
    _describe(root)
    for place in (folder / "anat", folder / "figures"):
        _make(place)
    level = "{level}" if options.levels else options.level or ""
    start = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    image = f"{start}_space-{fixed}_desc-{level}moved"
    there, back = (f"{start}_from-{a}_to-{b}_mode-image" for a, b in ((moving, fixed), (fixed, moving)))
    level = f"_desc-{level}" if level else ""
    names = {
        "moved": f"anat/{image}_ct.nii.gz",
        "moved_seg": f"anat/{image}_dseg.nii.gz" if options.moving_seg else None,
        "warp": f"anat/{there}{level}_xfm.h5",
        "inverse_warp": f"anat/{back}{level}_xfm.h5",
        "metrics": f"anat/{there}{level}_metrics.json",
        "figure": f"figures/{there}{level}_registration.png",
    }
    for option, name in names.items():
        if getattr(options, option) is None and name is not None:
            setattr(options, option, str(folder / name))


def write_sidecars(options: Namespace, paths: dict[str, str | None]) -> None:
    """Write beside each moved volume what it was made from, as BIDS asks of a space that is no template's.

    Args:
        options: The parsed command line.
        paths: {option: path} of one level's outputs.
    """
    if options.bids is None:
        return
    root = Path(options.bids).resolve()
    sources = {"--moved": options.moving, "--moved-seg": options.moving_seg}
    for option, source in sources.items():
        path = paths[option]
        if path is not None and root in Path(path).resolve().parents:
            write_json(
                path.removesuffix(".nii.gz") + ".json",
                {"SpatialReference": _uri(options.fixed, root), "Sources": [_uri(source, root)]},
            )


def _describe(root: Path) -> None:
    """Write the folder's description, or check the one that is there."""
    path = root / _DESCRIPTION
    if path.exists():
        try:
            kind = json.loads(path.read_text(encoding="utf-8")).get("DatasetType", "raw")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read as JSON") from error
        if kind != "derivative":
            raise InputError(f"{path}: is of a {kind} data set; --bids writes to a derivative, a folder of its own")
        return
    _make(root)
    check_writable(path)
    write_json(
        path,
        {
            "Name": "Registrations by acsgreg_tf",
            "BIDSVersion": _VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "acsgreg_tf", "Version": __version__}],
        },
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error


def _entities(path: str) -> tuple[str, str]:
    """Subject and session in a file's name, else its name without what BIDS forbids, and ""."""
    name = Path(path).name
    subject, session = (re.search(rf"(?:^|_){key}-([a-zA-Z0-9]+)", name) for key in ("sub", "ses"))
    if subject:
        return subject[1], session[1] if session else ""
    stem = re.sub(r"(_ct)?(\.nii|\.gz|\.nrrd|\.nhdr|\.mha|\.mhd|\.mgz|\.mgh|\.npz)*$", "", name)
    return re.sub(r"[^a-zA-Z0-9]", "", stem) or "scan", ""


def _label(path: str) -> str:
    """What names a scan in space-, from- and to-: its subject and session."""
    subject, session = _entities(path)
    return subject + (f"ses{session}" if session else "")


def _uri(path: str, root: Path) -> str:
    """A file's place relative to the derivative where it lies in it, else its path."""
    resolved = Path(path).resolve()
    return f"bids::{resolved.relative_to(root)}" if root in resolved.parents else resolved.as_uri()
