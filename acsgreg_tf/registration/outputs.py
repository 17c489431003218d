"""The files that a registration is written to."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.io.files import ending_of, plain, write_json
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.io.images import write_image
from acsgreg_tf.io.transforms import AFFINE_ENDINGS, WARP_ENDINGS, check_transform_ending, write_transform
from acsgreg_tf.registration.result import Result

__all__ = ["ENDINGS", "check_ending", "title", "write_result"]

# What can be written, and the endings of each.
ENDINGS = {
    "moved": IMAGE_ENDINGS,
    "moved_seg": IMAGE_ENDINGS,
    "warp": WARP_ENDINGS,
    "inverse_warp": WARP_ENDINGS,
    "affine": AFFINE_ENDINGS,
    "metrics": (".json",),
    "figure": (".png", ".pdf", ".svg"),
}


def check_ending(name: str, path: str) -> None:
    """Raise InputError for a path whose ending is no format of the output `name`, a key of `ENDINGS`."""
    endings = ENDINGS[name]
    if endings in (WARP_ENDINGS, AFFINE_ENDINGS):
        check_transform_ending(path, endings)
    elif ending_of(path) not in endings:
        raise InputError(f"{path}: --{name.replace('_', '-')} must end in {', '.join(endings)}")


def write_result(result: Result, paths: Mapping[str, str | os.PathLike | None], moving_grid: Grid) -> None:
    """Write what is asked for of a registration, each file whole or not at all; the metrics last.

    Args:
        result: The registration.
        paths: {name: path} by the names of `ENDINGS`; what is missing or None is not written.
        moving_grid: The moving image's, on which an inverse displacement lies.

    Raises:
        InputError: A folder does not exist or cannot be written.
    """
    wanted = {name: path for name, path in paths.items() if path is not None}
    # What is packed leaves Python free, so that the figure is drawn meanwhile.
    with ThreadPoolExecutor(1) as pool:
        volumes = pool.submit(_write_volumes, result, wanted, moving_grid)
        if "figure" in wanted:
            from acsgreg_tf.registration.figure import save_figure

            summary = result.summary
            save_figure(result.figure(title(summary["fixed"], summary["moving"], summary["level"])), wanted["figure"])
        volumes.result()
    if "metrics" in wanted:
        write_json(wanted["metrics"], plain(result.summary))


def _write_volumes(result: Result, wanted: Mapping[str, str | os.PathLike], moving_grid: Grid) -> None:
    """Write the images and the transforms, one after the other: ITK's HDF5 bears no second thread."""
    grid = result.moved.grid
    if "moved" in wanted:
        write_image(wanted["moved"], result.moved.data, grid)
    if "moved_seg" in wanted and result.moved_seg is not None:
        write_image(wanted["moved_seg"], result.moved_seg.data, grid)
    if "warp" in wanted:
        write_transform(wanted["warp"], result.transform, grid)
    if "inverse_warp" in wanted:
        write_transform(wanted["inverse_warp"], result.inverse, moving_grid)
    if "affine" in wanted:
        write_transform(wanted["affine"], result.affine)


def title(fixed: str, moving: str, level: str | None) -> str:
    """What names a registration on the terminal and in its figure."""
    pair = f"{Path(moving).name} to {Path(fixed).name}"
    return f"{level}: {pair}" if level else pair
