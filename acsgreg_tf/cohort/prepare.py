"""Turns a folder of CTs and label maps into a cohort: cropped vertebrae and their manifest (the paper's section 3.1).

Each scan leaves a record beside its crops, written last, so that a run that was stopped or killed goes on with the next
scan. A fault of a scan is a line of the manifest and stops nothing.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from acsgreg_tf.cohort.crops import Preparation, crop_scan
from acsgreg_tf.cohort.manifest import Sample, write_manifest
from acsgreg_tf.cohort.scans import PREPARED, ScanFiles
from acsgreg_tf.io.files import remove_unfinished, write_json
from acsgreg_tf.io.images import write_image
from acsgreg_tf.io.work_folder import claim, make_folder
from acsgreg_tf.parallel import run_each

__all__ = ["MANIFEST", "prepare"]

CROPS, RECORDS, MANIFEST = "crops", "records", "manifest.csv"


def prepare(
    scans: Sequence[ScanFiles],
    out: str | os.PathLike,
    settings: Preparation,
    processes: int = 1,
    progress: Callable[[ScanFiles, list[Sample]], Any] | None = None,
    cluster: str | None = None,
) -> list[Sample]:
    """Crop every scan's vertebrae into `out` and write its manifest; only what is missing is done.

    `out` gets `crops/`, `records/` (the result of each scan), `prepare.json` (the settings) and `manifest.csv`: a line
    a vertebra, and a line for each scan or level that failed.

    Args:
        scans: As `find_scans` returns them.
        out: Folder, made if missing.
        settings: What to look for, and what counts as a fault.
        processes: How many work side by side.
        progress: Called with (ScanFiles, its Samples) for each finished scan, those of an earlier run first.
        cluster: Address of a Dask scheduler, whose workers take the place of processes.

    Returns:
        The manifest's Samples, by scan.

    Raises:
        InputError: The folder cannot be written or was made with other settings; a worker process died.
    """
    out = Path(out)
    claim(out, PREPARED, asdict(settings))
    for name in (CROPS, RECORDS):
        remove_unfinished(make_folder(out / name))
    recorded = {scan.name: _read_record(scan, out) for scan in scans}
    results = {name: samples for name, samples in recorded.items() if samples is not None}
    missing = [scan for scan in scans if scan.name not in results]
    try:
        if progress is not None:
            for scan in scans:
                if scan.name in results:
                    progress(scan, results[scan.name])
        task = (out, settings, frozenset(scan.name for scan in scans))
        for scan, samples in run_each(_prepare_one, missing, processes, None, task, cluster):
            results[scan.name] = samples
            if progress is not None:
                progress(scan, samples)
    finally:
        samples = [sample for scan in scans for sample in results.get(scan.name, ())]
        write_manifest(out / MANIFEST, samples)
    return samples


def _prepare_one(scan: ScanFiles, out: Path, settings: Preparation, names: frozenset[str]) -> list[Sample]:
    """Write a scan's crops and then its record; `names` are those of all scans."""
    files = _fingerprint(scan)
    samples = []
    for sample, vertebra in crop_scan(scan, settings):
        if vertebra is not None and vertebra.label is not None:
            name = scan.name if scan.level == sample.level else f"{scan.name}_{sample.level}"
            if scan.level is None and name in names:  # a file of this level alone lies beside the whole scan's
                name += "-whole"
            image, label = (out / CROPS / f"{name}_{end}.nii.gz" for end in ("ct", "seg"))
            write_image(image, vertebra.image, vertebra.grid)
            write_image(label, vertebra.label, vertebra.grid)
            sample = replace(sample, image=str(image), label=str(label))
        samples.append(sample)
    rows = [
        asdict(s) | {what: f"{CROPS}/{Path(getattr(s, what)).name}" for what in ("image", "label") if s.image}
        for s in samples
    ]
    write_json(out / RECORDS / f"{scan.name}.json", {"files": files, "samples": rows})
    return samples


def _read_record(scan: ScanFiles, out: Path) -> list[Sample] | None:
    """A scan's Samples of an earlier run, or None where anything is missing or its files have changed."""
    try:
        record = json.loads((out / RECORDS / f"{scan.name}.json").read_text(encoding="utf-8"))
        if record["files"] != _fingerprint(scan):
            return None
        samples = [Sample(**row) for row in record["samples"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    samples = [
        replace(s, image=str(out / s.image) if s.image else "", label=str(out / s.label) if s.label else "")
        for s in samples
    ]
    return samples if all(Path(p).is_file() for s in samples for p in (s.image, s.label) if p) else None


def _fingerprint(scan: ScanFiles) -> list[Any]:
    """Whatever differs when a scan's files are no longer those that its record is about."""
    marks: list[Any] = [scan.level, scan.number, scan.fault]
    for path in (scan.image, scan.label):
        try:
            marks.append([path.name, path.stat().st_size, path.stat().st_mtime_ns] if path else None)
        except OSError:
            marks.append([path.name if path else None, None, None])
    return marks
