"""The vertebrae of a study: a generated cohort split by person, and crops averaged to larger voxels."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cohort.generate import MANIFEST, CohortRecipe, generate_cohort
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.split import Split, make_split, write_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies.scales import Scale
from acsgreg_tf.geometry.distance import coarser
from acsgreg_tf.io.files import ending_of, remove_unfinished
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.io.nifti import write_nifti
from acsgreg_tf.io.work_folder import make_folder


def generated_split(out: Path, scale: Scale, processes: int = 1) -> Split:
    """Generate a cohort in `out`/cohort, each person with all levels, and split it by person in `out`/split.json.

    Raises:
        InputError: The folder holds another cohort, or cannot be written.
    """
    cohort, seed = out / "cohort", scale.recipe.seed
    recipe = CohortRecipe(count=scale.people * len(LUMBAR), seed=seed)
    samples = generate_cohort(cohort, recipe, processes)
    split = make_split(samples, by="person", test_per_level=scale.test_people, seed=seed)
    write_split(out / "split.json", split, cohort / MANIFEST)
    return split


def reduced_crops(samples: Iterable[Sample], spacing: int, folder: Path) -> list[Sample]:
    """The samples with crops averaged to voxels of `spacing` mm about their centre.

    Args:
        samples: Crops of 1 mm.
        spacing: Whole number of mm; 1 returns the samples as they are.
        folder: Where reduced crops are written; those that are there already are used.

    Raises:
        InputError: A crop that `spacing` does not divide, or whose label has another shape.
    """
    if spacing == 1:
        return list(samples)
    remove_unfinished(make_folder(folder))
    reduced: list[Sample] = []
    sources: dict[str, str] = {}
    for sample in samples:
        # A person may have two scans, so that only the files' names tell crops apart.
        name = Path(sample.image).name.removesuffix(ending_of(sample.image)).removesuffix("_ct")
        if sources.setdefault(name, sample.image) != sample.image:
            raise InputError(f"{sample.image}: has the name of {sources[name]}; crops need different names")
        image, label = (folder / f"{name}_{kind}.nii.gz" for kind in ("ct", "seg"))
        if not (image.exists() and label.exists()):
            _write_reduced(sample, spacing, image, label)
        reduced.append(replace(sample, image=str(image), label=str(label)))
    return reduced


def _write_reduced(sample: Sample, spacing: int, image_path: Path, label_path: Path) -> None:
    image, label = read_image(sample.image), read_label(sample.label)
    if image.data.shape != label.data.shape:
        raise InputError(f"{sample.label}: shape {label.data.shape} is not the image's {image.data.shape}")
    if any(side % spacing for side in image.data.shape):
        raise InputError(f"{sample.image}: shape {image.data.shape} cannot be divided by {spacing}")
    inside = coarser(label.data > 0, spacing) > 0.5
    affine = image.grid.affine.copy()
    affine[:3, :3] *= spacing
    affine[:3, 3] = image.grid.index_to_points(np.full(3, (spacing - 1) / 2))
    for path, data in ((image_path, coarser(image.data, spacing) * inside), (label_path, inside.astype(np.uint8))):
        write_nifti(path, nib.Nifti1Image(data, affine))
