"""Writes a cohort of generated vertebrae into a folder: crops, lists of them, and a manifest."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cohort.dataset import NO_PARTS
from acsgreg_tf.cohort.manifest import Sample, read_manifest, write_manifest
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.network import network_grid
from acsgreg_tf.io.files import remove_unfinished, write_text
from acsgreg_tf.io.images import read_label
from acsgreg_tf.io.nifti import write_nifti
from acsgreg_tf.io.work_folder import claim
from acsgreg_tf.parallel import run_each
from acsgreg_tf.synthesis.generator import CohortGenerator, Record, Unvaried, VertebraGenerator
from acsgreg_tf.synthesis.sources import Source

__all__ = ["MANIFEST", "CohortRecipe", "generate_cohort"]

MANIFEST, NOTE = "manifest.csv", "generate.json"

# NIfTI stores a slope in 32 bits; rounded down, so that 255 times it does not pass 1.
_SLOPE = float(np.nextafter(np.float32(1 / 255), np.float32(0)))

# Volume in ml, and "yes" or "cut", as in a manifest.
_Measure = tuple[float, str]


@dataclass(frozen=True)
class CohortRecipe:
    """What a generated cohort is made from; one folder holds one cohort.

    Args:
        count: Vertebrae; the levels take turns. None writes every source once, unvaried.
        seed: The same seed gives the same cohort.
        levels: Of L1 to L5.
        sources: Real shapes to vary; without them all are made from the phantom.
        phantom_fraction: Part made from the phantom even so.
        spacing: Voxel edge in mm: 1, 2 or 4.
        parts: Also write maps of parts, of those vertebrae whose parts are known.

    Raises:
        InputError: A value that breaks these rules.
    """

    count: int | None
    seed: int = 0
    levels: tuple[str, ...] = LUMBAR
    sources: tuple[Source, ...] = ()
    phantom_fraction: float = 0.0
    spacing: int = 1
    parts: bool = False

    def __post_init__(self) -> None:
        unknown = [level for level in self.levels if level not in LUMBAR]
        if unknown:
            raise InputError(f"levels {unknown[0]}: a level is one of {', '.join(LUMBAR)}")
        if self.count is None and not self.sources:
            raise InputError("sources: none to write unvaried")
        if self.count is None and self.spacing != 1:
            raise InputError(f"spacing {self.spacing}: unvaried shapes are written at 1 mm")
        if self.count is not None and self.count < 1:
            raise InputError(f"count {self.count}: must be at least 1")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: must not be negative")
        if not 0 <= self.phantom_fraction <= 1:
            raise InputError(f"phantom-fraction {self.phantom_fraction}: must lie between 0 and 1")

    def __len__(self) -> int:
        """How many vertebrae the cohort has."""
        return len(self.sources) if self.count is None else self.count

    def generator(self) -> VertebraGenerator:
        """The generator of its vertebrae.

        Raises:
            InputError: The spacing is none that the generator knows.
        """
        if self.count is None:
            return Unvaried(self.seed, self.sources)
        return CohortGenerator(self.seed, self.levels, self.sources, self.phantom_fraction, spacing=self.spacing)

    def note(self) -> dict[str, Any]:
        """What the vertebrae follow from, for the folder's note; a cohort may grow, so its count is no part of it."""
        return {
            "seed": self.seed,
            "levels": self.levels,
            "phantom_fraction": self.phantom_fraction,
            "as_is": self.count is None,
            "spacing": self.spacing,
            "parts": self.parts,
            "sources": sorted(source.name for source in self.sources),
        }


def generate_cohort(
    out: str | os.PathLike,
    recipe: CohortRecipe,
    processes: int = 1,
    progress: Callable[[int], Any] | None = None,
    cluster: str | None = None,
) -> list[Sample]:
    """Write a cohort; vertebrae whose files are in the folder already are not made again.

    `out` gets a CT crop and a mask for each vertebra, `img-list.txt` and `seg-list.txt` (their names in the same
    order), `manifest.csv` and `generate.json` (the recipe); with parts also maps of parts and `part-list.txt`, "-"
    where there is none.

    Args:
        out: Folder, made if missing.
        recipe: What to make.
        processes: How many work side by side.
        progress: Called with the number of vertebrae that are there, before the first is made and after each.
        cluster: Address of a Dask scheduler, whose workers take the place of processes.

    Returns:
        The manifest's Samples.

    Raises:
        InputError: The folder cannot be written or holds another cohort, a real shape cannot be read, a worker died.
    """
    if processes < 1:
        raise InputError(f"processes {processes}: must be at least 1")
    out, generator = Path(out), recipe.generator()
    # The notes of older versions, which knew 1 mm only and no parts, lack these.
    claim(out, NOTE, recipe.note(), defaults={"spacing": 1, "parts": False})
    remove_unfinished(out)
    records = [generator.describe(index) for index in range(len(recipe))]
    if not recipe.parts:
        records = [replace(record, parts=False) for record in records]
    missing = [index for index, record in enumerate(records) if not all(f.exists() for f in _files(out, record))]
    measures = _known_measures(out / MANIFEST)
    finished = len(records) - len(missing)
    if progress is not None:
        progress(finished)
    if missing:
        generator.load()
        task = (generator, out, recipe)
        for index, measure in run_each(_write_vertebra, missing, processes, None, task, cluster):
            measures[_files(out, records[index])[0].name] = measure
            finished += 1
            if progress is not None:
                progress(finished)
    return _write_lists(out, records, measures, recipe)


def _files(out: Path, record: Record) -> list[Path]:
    """Of the image, of the label and, where it has some, of the parts."""
    ends = ("ct", "seg", "parts") if record.parts else ("ct", "seg")
    return [out / f"{record.id}_{end}.nii.gz" for end in ends]


def _write_vertebra(index: int, generator: VertebraGenerator, out: Path, recipe: CohortRecipe) -> _Measure:
    parts: np.ndarray | None = None
    if recipe.parts:
        image, label, parts = generator.make_with_parts(index)
    else:
        image, label = generator.make(index)
    record = replace(generator.describe(index), parts=parts is not None)
    image_path, label_path, *parts_path = _files(out, record)
    _write_volume(image_path, np.rint(image * 255), _SLOPE, recipe.spacing)
    _write_volume(label_path, label, 1, recipe.spacing)
    if parts is not None:
        _write_volume(parts_path[0], parts, 1, recipe.spacing)
    return _measure(label, recipe.spacing)


def _write_volume(path: Path, data: np.ndarray, slope: float, spacing: int) -> None:
    image = nib.Nifti1Image(data.astype(np.uint8), network_grid((0, 0, 0), data.shape, spacing).affine)
    image.header.set_slope_inter(slope, 0)
    image.header.set_xyzt_units("mm")
    write_nifti(path, image)


def _measure(label: np.ndarray, spacing: int) -> _Measure:
    """Volume in ml of a label (X, Y, Z) with voxels of `spacing` mm, and "cut" where it touches the border."""
    inside = np.asarray(label) > 0
    at_border = any(inside.take(end, axis).any() for axis in range(3) for end in (0, -1))
    return float(inside.sum() * spacing**3 / 1000), "cut" if at_border else "yes"


def _known_measures(manifest: Path) -> dict[str, _Measure]:
    """{image's name: measure} of an earlier run."""
    if not manifest.exists():
        return {}
    try:
        samples = read_manifest(manifest, check_files=False)
    except InputError:  # of an older version, or damaged: measured anew
        return {}
    return {Path(s.image).name: (s.volume_ml, s.whole) for s in samples if s.volume_ml and s.whole}


def _write_lists(out: Path, records: list[Record], measures: dict[str, _Measure], recipe: CohortRecipe) -> list[Sample]:
    """Write img-list.txt, seg-list.txt, part-list.txt of a recipe with parts, and the manifest; returns its Samples."""
    if recipe.parts:
        lines = [_files(out, record)[2].name if record.parts else NO_PARTS for record in records]
        write_text(out / "part-list.txt", "".join(f"{line}\n" for line in lines))
    for which, name in enumerate(("img-list.txt", "seg-list.txt")):
        write_text(out / name, "".join(f"{_files(out, record)[which].name}\n" for record in records))
    samples = []
    for record in records:
        image, label, *parts = _files(out, record)
        if image.name not in measures:
            measures[image.name] = _measure(read_label(label).data, recipe.spacing)
        volume, whole = measures[image.name]
        made = Sample(record.person, record.level, str(image), str(label), record.source, volume, whole, "generated")
        samples.append(replace(made, parts=str(parts[0]) if parts else ""))
    write_manifest(out / MANIFEST, samples, [{"id": record.id, "seed": record.seed} for record in records])
    return samples
