"""A folder of CTs and label maps becomes a cohort of cropped, masked vertebrae and its manifest (the paper's section 3.1).

What is finished stays finished: each scan leaves a record beside its crops, written last, so that a run that was stopped or
killed goes on with the next scan. What is wrong with a scan is a line of the manifest and stops nothing.
"""

import json
import warnings
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.anatomy.levels import label_of, levels_in
from acsgreg_tf.anatomy.vertebra import extract, pick_label
from acsgreg_tf.cohort.manifest import Sample, write_manifest
from acsgreg_tf.cohort.scans import PREPARED
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_probability
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.geometry.resample import resample
from acsgreg_tf.io.files import READ_FAULTS, one_line, remove_unfinished, write_json
from acsgreg_tf.io.images import Image, read_image, read_label, write_image
from acsgreg_tf.io.work_folder import claim, make_folder
from acsgreg_tf.parallel import run_each
from acsgreg_tf.synthesis.ct import simulate_ct

__all__ = ["Preparation", "prepare"]

CROPS, RECORDS, MANIFEST = "crops", "records", "manifest.csv"
# Lumbar vertebrae have 38 to 80 ml (docs/reference/phantom.md); far outside of that a label is a fragment, or two fused.
PLAUSIBLE_ML = (15, 150)
# A label's affine may differ from its CT's in the last digits of a header, by this part of a voxel.
_SAME_GRID = 0.1


@dataclass(frozen=True)
class Preparation:
    """How crops are made; one folder holds crops of one kind.

    Args:
        levels: which to look for.
        table: dict level -> number in the label maps (`levels.parse_table`).
        shape: of the crops, voxels of 1 mm.
        simulate: give label maps without a CT simulated intensities (`synthesis.ct.simulate_ct`); else they are a fault.
        by_headers: take label maps on another grid than their CT's, both placed by their headers; else they are a fault.
        seed: of the simulated intensities.
    """

    levels: tuple
    table: dict
    shape: tuple = NETWORK_SHAPE
    simulate: bool = False
    by_headers: bool = False
    seed: int = 0


def prepare(scans, out, how, processes=1, progress=None):
    """Crop every scan's vertebrae into `out` and write its manifest; only what is missing is done.

    `out` gets `crops/`, `records/` (what was found in each scan), `prepare.json` (the settings) and `manifest.csv`: a line a
    vertebra, and a line for each scan or level that failed.

    Args:
        scans: Scans.
        out: folder, made if missing.
        how: Preparation.
        processes: that work side by side.
        progress: called with (Scan, its Samples) for each finished scan, those of an earlier run first.

    Returns:
        The manifest's Samples, by scan.

    Raises:
        InputError: the folder cannot be written or was made with other settings; a worker process died.
    """
    out = Path(out)
    claim(out, PREPARED, asdict(how))
    for name in (CROPS, RECORDS):
        remove_unfinished(make_folder(out / name))
    found = {scan.name: _recorded(scan, out) for scan in scans}
    try:
        for scan in scans:
            if found[scan.name] is not None and progress is not None:
                progress(scan, found[scan.name])
        missing = [scan for scan in scans if found[scan.name] is None]
        for scan, samples in run_each(_prepare_one, missing, processes, arguments=(out, how)):
            found[scan.name] = samples
            if progress is not None:
                progress(scan, samples)
    finally:
        samples = [sample for scan in scans for sample in found[scan.name] or ()]
        write_manifest(out / MANIFEST, samples)
    return samples


def _fingerprint(scan):
    """What tells whether a scan's files are those that its record is about."""
    marks = [scan.level, scan.number, scan.fault]
    for path in (scan.image, scan.label):
        try:
            marks.append([path.name, path.stat().st_size, path.stat().st_mtime_ns] if path else None)
        except OSError:
            marks.append([path.name, None, None])
    return marks


def _recorded(scan, out):
    """A scan's Samples as an earlier run left them, or None where anything is missing or its files have changed."""
    try:
        record = json.loads((out / RECORDS / f"{scan.name}.json").read_text(encoding="utf-8"))
        if record["files"] != _fingerprint(scan):
            return None
        samples = [Sample(**row) for row in record["samples"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    samples = [
        replace(s, image=str(out / s.image) if s.image else "", label=str(out / s.label) if s.label else "")
        for s in samples
    ]
    return samples if all(Path(p).is_file() for s in samples for p in (s.image, s.label) if p) else None


def _prepare_one(scan, out, how):
    """Write a scan's crops and then its record; its Samples."""
    files = _fingerprint(scan)
    samples = []
    for sample, vertebra in _vertebrae(scan, how):
        if vertebra is not None:
            names = {
                what: out / CROPS / f"{_with_level(scan, sample.level)}_{end}.nii.gz"
                for what, end in (("image", "ct"), ("label", "seg"))
            }
            write_image(names["image"], vertebra.image, vertebra.grid)
            write_image(names["label"], vertebra.label, vertebra.grid)
            sample = replace(sample, **{what: str(path) for what, path in names.items()})
        samples.append(sample)
    rows = [
        asdict(s) | {w: f"{CROPS}/{Path(getattr(s, w)).name}" for w in ("image", "label") if s.image} for s in samples
    ]
    write_json(out / RECORDS / f"{scan.name}.json", {"files": files, "samples": rows})
    return samples


def _with_level(scan, level):
    return scan.name if scan.level == level else f"{scan.name}_{level}"


def _vertebrae(scan, how):
    """(Sample without its files, Vertebra or None) of each level found in a scan, or of the fault that it has."""
    source = (scan.image or scan.label).name
    blank = Sample(scan.person, scan.level or "", source=source)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        try:
            image, label, wanted = _read(scan, how)
        except InputError as error:
            yield replace(blank, notes=str(error)), None
            return
    general = [str(warning.message) for warning in said if issubclass(warning.category, UserWarning)]
    if image is None:
        general.append("intensities simulated: there is no CT")
    for level, number in wanted:
        sample = replace(blank, level=level)
        try:
            vertebra = _extract(image, label, number, how, f"{scan.name} {level}")
        except (InputError, *READ_FAULTS) as error:
            yield (
                replace(sample, notes=str(error) if isinstance(error, InputError) else f"{source}: {one_line(error)}"),
                None,
            )
            continue
        volume = float(np.count_nonzero(vertebra.label)) / 1000
        notes = "; ".join([*vertebra.notes, *_doubts(vertebra.label, volume), *general])
        yield replace(sample, volume_ml=round(volume, 2), whole="cut" if vertebra.cut else "yes", notes=notes), vertebra


def _read(scan, how):
    """(CT or None, label map, [(level, number)]) of a scan; InputError for whatever is wrong with it."""
    if scan.fault:
        raise InputError(f"{scan.name}: {scan.fault}")
    if scan.label is None:
        raise InputError(f"{scan.image.name}: has no label map")
    if scan.image is None and not how.simulate:
        raise InputError(f"{scan.label.name}: has no CT")
    label = _renamed(read_label, scan.label)
    image = None if scan.image is None else _renamed(read_image, scan.image)
    if image is not None and not how.by_headers and not label.grid.isclose(image.grid, _SAME_GRID):
        apart = _apart(label.grid, image.grid)
        raise InputError(f"{label.name}: its grid is not that of {image.name} ({apart}; see --by-headers)")
    if scan.level is None:
        present = levels_in(label.data, how.table)
        wanted = [(level, how.table[level]) for level in how.levels if level in present]
        if not wanted:
            numbers = ", ".join(str(n) for n in np.unique(label.data) if n > 0) or "nothing"
            raise InputError(f"{label.name}: holds none of {', '.join(how.levels)} (its labels: {numbers[:80]})")
        return image, label, wanted
    number = scan.number
    if number is None:
        # A file of one level by itself may number it as the table does, or as it likes.
        number = label_of(scan.level, how.table)
        number = number if (label.data == number).any() else None
    return image, label, [(scan.level, pick_label(label, number))]


def _renamed(read, path):
    """An Image that messages call by its file's name: a manifest travels, and its notes with it."""
    try:
        found = read(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error
    return Image(found.data, found.grid, path.name)


def _apart(one, other):
    if one.shape != other.shape:
        return f"{' x '.join(map(str, one.shape))} and {' x '.join(map(str, other.shape))} voxels"
    ends = [grid.index_to_points([(0, 0, 0), np.array(grid.shape) - 1]) for grid in (one, other)]
    return f"up to {np.linalg.norm(ends[0] - ends[1], axis=1).max():.1f} mm apart"


def _extract(image, label, number, how, name):
    if image is not None:
        return extract(image, label, number, how.shape)
    mask = (label.data == number).astype(np.float32)
    vertebra = extract(Image(mask, label.grid, label.name), label, number, how.shape)
    distance = from_probability(resample(mask, label.grid, vertebra.grid))
    rng = np.random.default_rng([how.seed, zlib.crc32(name.encode())])
    values, _ = simulate_ct(distance, rng)
    return replace(vertebra, image=normalise(values, vertebra.label))


def _doubts(label, volume):
    """What looks wrong with a mask (X, Y, Z), though it can be used."""
    low, high = PLAUSIBLE_ML
    doubts = [] if low <= volume <= high else [f"{volume:.1f} ml is unlikely for a lumbar vertebra"]
    pieces, count = ndimage.label(label, ndimage.generate_binary_structure(3, 3))
    if count > 1:
        sizes = np.sort(np.bincount(pieces.ravel())[1:])
        doubts.append(f"in {count} pieces ({sizes[:-1].sum() / 1000:.2f} ml apart from the largest)")
    return doubts
