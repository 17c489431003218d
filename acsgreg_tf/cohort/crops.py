"""One scan becomes crops: each of its vertebrae masked, on its own 1 mm grid, with a line for the manifest."""

import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.anatomy.levels import label_of, levels_in
from acsgreg_tf.anatomy.plausibility import unlikely_volume
from acsgreg_tf.anatomy.vertebra import Vertebra, extract, pick_label
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.scans import ScanFiles
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_probability
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.geometry.resample import resample
from acsgreg_tf.io.files import READ_FAULTS, one_line
from acsgreg_tf.io.images import Image, read_image, read_label
from acsgreg_tf.synthesis.ct import simulate_ct

__all__ = ["Preparation", "crop_scan", "simulate"]

# A label's affine may differ from its CT's in the last digits of a header, by this part of a voxel.
_SAME_GRID = 0.1


@dataclass(frozen=True)
class Preparation:
    """How crops are made; one folder holds crops of one kind.

    Args:
        levels: Which to look for.
        table: {level: number in the label maps}, as `levels.parse_table` returns it.
        shape: Of the crops, voxels of 1 mm.
        simulate: Give label maps without a CT simulated intensities (`synthesis.ct.simulate_ct`); otherwise such a map
            is a fault.
        by_headers: Accept label maps on another grid than their CT's, both placed by their headers; otherwise such a
            map is a fault.
    """

    levels: tuple[str, ...]
    table: dict[str, int]
    shape: tuple[int, ...] = NETWORK_SHAPE
    simulate: bool = False
    by_headers: bool = False


def crop_scan(scan: ScanFiles, settings: Preparation) -> Iterator[tuple[Sample, Vertebra | None]]:
    """Crop the vertebrae of one scan.

    Args:
        scan: Whose files are read.
        settings: What to look for, and what counts as a fault.

    Yields:
        (Sample without its files, Vertebra) for each level in the scan that is wanted; (Sample with the fault in its
        notes, None) for a level that cannot be cropped, or once for a scan that cannot be used.
    """
    if scan.level is not None and scan.level not in settings.levels:
        return
    source = _source(scan)
    blank = Sample(scan.person, scan.level or "", source=source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            image, label, wanted = _read(scan, settings)
        except InputError as error:
            yield replace(blank, notes=str(error)), None
            return
    general = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    if image is None:
        general.append("intensities simulated: there is no CT")
    for level, number in wanted:
        sample = replace(blank, level=level)
        try:
            vertebra = _extract(image, label, number, settings.shape, f"{scan.name} {level}")
        except InputError as error:
            yield replace(sample, notes=str(error)), None
            continue
        except READ_FAULTS as error:
            yield replace(sample, notes=f"{source}: {one_line(error)}"), None
            continue
        assert vertebra.label is not None
        volume = float(np.count_nonzero(vertebra.label)) / 1000
        notes = "; ".join([*vertebra.notes, *_doubts(vertebra.label, volume), *general])
        yield replace(sample, volume_ml=round(volume, 2), whole="cut" if vertebra.cut else "yes", notes=notes), vertebra


def _source(scan: ScanFiles) -> str:
    path = scan.image or scan.label
    return path.name if path else ""


def _read(scan: ScanFiles, settings: Preparation) -> tuple[Image | None, Image, list[tuple[str, int]]]:
    """The CT or None, the label map, and [(level, number)] of a scan; InputError for whatever is wrong with it."""
    if scan.fault:
        raise InputError(f"{scan.name}: {scan.fault}")
    if scan.label is None:
        raise InputError(f"{_source(scan)}: has no label map")
    if scan.image is None and not settings.simulate:
        raise InputError(f"{scan.label.name}: has no CT")
    label = _named_by_file(read_label, scan.label)
    image = None if scan.image is None else _named_by_file(read_image, scan.image)
    if image is not None and not settings.by_headers and not label.grid.isclose(image.grid, _SAME_GRID):
        difference = _difference(label.grid, image.grid)
        raise InputError(f"{label.name}: its grid is not that of {image.name} ({difference}; see --by-headers)")
    if scan.level is not None:
        return image, label, [(scan.level, pick_label(label, _number_of(scan, label, settings)))]
    present = levels_in(label.data, settings.table)
    wanted = [(level, settings.table[level]) for level in settings.levels if level in present]
    if not wanted:
        numbers = ", ".join(str(n) for n in np.unique(label.data) if n > 0) or "nothing"
        raise InputError(f"{label.name}: holds none of {', '.join(settings.levels)} (its labels: {numbers[:80]})")
    return image, label, wanted


def _number_of(scan: ScanFiles, label: Image, settings: Preparation) -> int | None:
    """The number of the only level of a scan: a file of one level may number it as the table does, or freely (None)."""
    if scan.number is not None or scan.level is None:
        return scan.number
    number = label_of(scan.level, settings.table)
    return number if (label.data == number).any() else None


def _named_by_file(read: Callable[[Path], Image], path: Path) -> Image:
    """An Image that messages call by its file's name: a manifest travels, and its notes with it."""
    try:
        image = read(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error
    return Image(image.data, image.grid, path.name)


def _difference(one: Grid, other: Grid) -> str:
    if one.shape != other.shape:
        return f"{' x '.join(map(str, one.shape))} and {' x '.join(map(str, other.shape))} voxels"
    ends = [grid.index_to_points(np.array([(0, 0, 0), np.array(grid.shape) - 1])) for grid in (one, other)]
    return f"up to {np.linalg.norm(ends[0] - ends[1], axis=1).max():.1f} mm apart"


def _extract(image: Image | None, label: Image, number: int, shape: tuple[int, ...], name: str) -> Vertebra:
    """A vertebra of a scan; without a CT, with simulated intensities that follow from `name`."""
    return simulate(label, number, name, shape) if image is None else extract(image, label, number, shape)


def simulate(label: Image, number: int, name: str, shape: tuple[int, ...] = NETWORK_SHAPE) -> Vertebra:
    """A vertebra of a label map without a CT: its shape as it is, with simulated intensities.

    Args:
        label: Label map.
        number: The vertebra's number there.
        name: What the intensities follow from, such as the person's name and the level.
        shape: Of the crop, voxels of 1 mm.

    Raises:
        InputError: As `anatomy.vertebra.extract`.
    """
    mask = (label.data == number).astype(np.float32)
    vertebra = extract(Image(mask, label.grid, label.name), label, number, shape)
    assert vertebra.label is not None
    distance = from_probability(resample(mask, label.grid, vertebra.grid))
    values, _ = simulate_ct(distance, np.random.default_rng([0, zlib.crc32(name.encode())]))
    return replace(vertebra, image=normalise(values, vertebra.label))


def _doubts(label: np.ndarray, volume: float) -> list[str]:
    """What looks wrong with a mask (X, Y, Z) of `volume` ml, though it can be used."""
    unlikely = unlikely_volume(volume)
    doubts = [unlikely] if unlikely else []
    pieces, count = ndimage.label(label, ndimage.generate_binary_structure(3, 3))
    if count > 1:
        sizes = np.sort(np.bincount(pieces.ravel())[1:])
        doubts.append(f"in {count} pieces ({sizes[:-1].sum() / 1000:.2f} ml apart from the largest)")
    return doubts
