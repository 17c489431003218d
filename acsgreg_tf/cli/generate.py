"""Write a cohort of generated vertebrae: real shapes varied, or the parametric phantom."""

import json
import multiprocessing
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cli import common, split
from acsgreg_tf.cohort.manifest import Sample, read_manifest, write_manifest
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.network import network_grid
from acsgreg_tf.io.images import atomic_path
from acsgreg_tf.synthesis.generator import SPACINGS, CohortGenerator, Unvaried
from acsgreg_tf.synthesis.sources import read_list

# NIfTI stores a slope in 32 bits; rounded down, so that 255 times it does not pass 1.
_SLOPE = np.nextafter(np.float32(1 / 255), np.float32(0))


def main(arguments=None):
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(generate, _parser(), arguments)


def generate(options):
    """Write the cohort that the parsed `options` describe; what its folder already holds is kept."""
    _check(options)
    sources = read_list(options.shapes) if options.shapes else []
    if options.as_is:
        generator = Unvaried(options.seed, sources)
        count = len(sources)
    else:
        generator = CohortGenerator(
            options.seed, options.levels, sources, options.phantom_fraction, spacing=options.spacing
        )
        count = options.count
    out = Path(options.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    _claim(out, options, sources)

    records = [generator.describe(index) for index in range(count)]
    missing = [index for index, record in enumerate(records) if not all(f.exists() for f in _files(out, record))]
    measures = _known(out / "manifest.csv")
    spacing = options.spacing
    if missing:
        generator.load()
        with multiprocessing.Pool(options.processes, _start, (generator, out, spacing)) as pool:
            done = pool.imap_unordered(_write_one, missing)
            for index, measure in tqdm(done, total=count, initial=count - len(missing), unit="vertebra"):
                measures[_files(out, records[index])[0].name] = measure
    samples = _write_lists(out, records, measures, spacing)
    split.write(options, samples, out / "manifest.csv")


def _parser():
    parser = common.Parser(prog="generate.py", description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write to; what is already there is kept")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--count", type=int, help="number of vertebrae; the levels take turns")
    size.add_argument("--as-is", action="store_true", help="every shape of --shapes once, not varied")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same cohort (default: 0)")
    parser.add_argument("--shapes", help="CSV list of real shapes: path,kind,label,level,person,axes")
    parser.add_argument("--levels", type=lambda text: text.split(","), default=list(LUMBAR), help="such as L1,L2")
    parser.add_argument("--phantom-fraction", type=float, default=0.0, help="part made from the phantom (default: 0)")
    parser.add_argument(
        "--spacing",
        type=int,
        default=1,
        choices=SPACINGS,
        help="voxel edge in mm: 1 gives 128x128x64 voxels, 2 gives 64x64x32 (default: 1)",
    )
    parser.add_argument("--processes", type=int, default=1, help="processes that work side by side (default: 1)")
    split.add_options(parser)
    return parser


def _check(options):
    unknown = [level for level in options.levels if level not in LUMBAR]
    if unknown:
        raise InputError(f"--levels {unknown[0]}: a level is one of {', '.join(LUMBAR)}")
    if not options.as_is and options.count < 1:
        raise InputError(f"--count {options.count}: must be at least 1")
    if options.as_is and not options.shapes:
        raise InputError("--as-is: needs a list of shapes (--shapes)")
    if options.as_is and options.spacing != 1:
        raise InputError("--spacing: shapes as they are (--as-is) are written at 1 mm")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: must be at least 1")
    if not 0 <= options.phantom_fraction <= 1:
        raise InputError(f"--phantom-fraction {options.phantom_fraction}: must lie between 0 and 1")


def _files(out, record):
    return out / f"{record['id']}_ct.nii.gz", out / f"{record['id']}_seg.nii.gz"


def _claim(out, options, sources):
    """Leave a note of what this folder's cohort is made from; refuse to mix two cohorts."""
    recipe = {
        "seed": options.seed,
        "levels": options.levels,
        "phantom_fraction": options.phantom_fraction,
        "as_is": options.as_is,
        "spacing": options.spacing,
        "sources": sorted(source.name for source in sources),
    }
    note = out / "generate.json"
    if note.exists():
        # Notes of older versions, which knew 1 mm only, lack the spacing.
        if {"spacing": 1} | json.loads(note.read_text(encoding="utf-8")) != recipe:
            raise InputError(f"{note}: this folder holds another cohort; choose another folder or the same options")
        return
    with atomic_path(note) as path:
        path.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


def _start(generator, out, spacing):
    global _generator, _out, _spacing
    _generator, _out, _spacing = generator, out, spacing


def _write_one(index):
    image, label = _generator.make(index)
    image_path, label_path = _files(_out, _generator.describe(index))
    _write(image_path, np.rint(image * 255), _SLOPE, _spacing)
    _write(label_path, label, 1, _spacing)
    return index, _measure(label, _spacing)


def _measure(label, spacing):
    """(volume in ml, "yes" or "cut") of a label (X, Y, Z) with voxels of `spacing` mm; cut is what touches the border."""
    inside = np.asarray(label) > 0
    border = any(inside.take(end, axis).any() for axis in range(3) for end in (0, -1))
    return inside.sum() * spacing**3 / 1000, "cut" if border else "yes"


def _known(manifest):
    """{image's name: what `_measure` found} of an earlier run."""
    if not manifest.exists():
        return {}
    try:
        samples = read_manifest(manifest, check_files=False)
    except InputError:  # of an older version, or damaged: measured anew
        return {}
    return {Path(s.image).name: (s.volume_ml, s.whole) for s in samples if s.volume_ml and s.whole}


def _write(path, data, slope, spacing):
    image = nib.Nifti1Image(data.astype(np.uint8), network_grid((0, 0, 0), data.shape, spacing).affine)
    image.header.set_slope_inter(slope, 0)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _write_lists(out, records, measures, spacing):
    """img-list.txt and seg-list.txt (paths relative to their folder, same order) and manifest.csv; its Samples."""
    for which, name in enumerate(("img-list.txt", "seg-list.txt")):
        with atomic_path(out / name) as path:
            names = "".join(f"{_files(out, record)[which].name}\n" for record in records)
            path.write_text(names, encoding="utf-8")
    samples = []
    for record in records:
        image, label = _files(out, record)
        if image.name not in measures:
            measures[image.name] = _measure(nib.load(label).dataobj, spacing)
        volume, whole = measures[image.name]
        samples.append(
            Sample(
                record["person"], record["level"], str(image), str(label), record["source"], volume, whole, "generated"
            )
        )
    write_manifest(out / "manifest.csv", samples, [{name: r[name] for name in ("id", "seed")} for r in records])
    return samples
