"""What train.py trains on: lists of crops, a cohort's manifest, or vertebrae generated on the fly."""

import argparse
from collections.abc import Sequence

from acsgreg_tf.cli.common import warn
from acsgreg_tf.cohort.dataset import VertebraDataset, Vertebrae, read_list
from acsgreg_tf.cohort.generated import GeneratedVertebrae
from acsgreg_tf.cohort.guard import refuse_shared_names, refuse_shared_shapes
from acsgreg_tf.cohort.manifest import Sample, read_manifest, usable
from acsgreg_tf.cohort.pairs import mixed_pairs
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import read_lines
from acsgreg_tf.synthesis.generator import CohortGenerator
from acsgreg_tf.synthesis.sources import read_sources


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what to train on."""
    data = parser.add_argument_group("data (one of --img-list, --manifest, --generate)")
    source = data.add_mutually_exclusive_group(required=True)
    source.add_argument("--img-list", metavar="TXT", help="file with one image crop a line: [0, 1], masked, one shape")
    source.add_argument(
        "--manifest", metavar="CSV", help="cohort of prepare.py or generate.py: its whole vertebrae, by level"
    )
    source.add_argument(
        "--generate", type=int, metavar="N", help="N vertebrae made while training goes; levels take turns"
    )
    data.add_argument(
        "--split", metavar="JSON", help="train on this part of --manifest only; its val part chooses best.h5"
    )
    data.add_argument(
        "--check-people",
        action="store_true",
        help="of --split: also compare the bones of its parts, and refuse one person under two names (a second for "
        "each two vertebrae of a level); one name on both sides is refused in any case",
    )
    data.add_argument(
        "--pairs-per-sample",
        type=int,
        metavar="N",
        help="of --manifest: each vertebra is fixed for N others (10 in the paper's studies II and III); default: all",
    )
    data.add_argument("--shapes", metavar="CSV", help="real shapes that --generate varies; default: the phantom")
    data.add_argument(
        "--phantom-fraction",
        type=float,
        default=0.0,
        metavar="F",
        help="part that comes from the phantom even so (default: 0)",
    )
    data.add_argument(
        "--spacing",
        type=int,
        default=1,
        metavar="MM",
        help="voxels of --generate: 2 gives 64x64x32, the least that networks take (default: 1)",
    )
    data.add_argument(
        "--data-processes",
        type=int,
        default=1,
        metavar="N",
        help="worker processes that make the vertebrae of --generate (default: 1)",
    )
    data.add_argument("--img-prefix", metavar="TEXT", help="put before each line of --img-list")
    data.add_argument("--img-suffix", metavar="TEXT", help="put after each line of --img-list")
    data.add_argument(
        "--seg-list", metavar="TXT", help="file with the masks in the same order; adds the two Dice terms"
    )
    data.add_argument("--seg-prefix", metavar="TEXT", help="put before each line of --seg-list")
    data.add_argument("--seg-suffix", metavar="TEXT", help="put after each line of --seg-list")
    data.add_argument(
        "--part-list",
        metavar="TXT",
        help="file with maps of parts (VerSe's subregions 41 to 50, on the crops' grids) in the same order, - where "
        "there is none; a manifest names them in a column parts",
    )
    data.add_argument(
        "--group-list", metavar="TXT", help="file with a word a line (the level): only equal words are paired"
    )
    data.add_argument(
        "--atlas",
        metavar="FILE",
        help="one image that every image of --img-list is registered to, instead of to each other (voxelmorph's flag)",
    )
    data.add_argument("--atlas-seg", metavar="FILE", help="its mask, where --seg-list is given")
    data.add_argument(
        "--val-img-list", metavar="TXT", help="held-out images: best.h5 is the one with the least loss on them"
    )
    data.add_argument("--val-seg-list", metavar="TXT", help="their masks")
    data.add_argument("--val-group-list", metavar="TXT", help="their groups")
    data.add_argument("--flip", action="store_true", help="mirror pairs left-right at random")
    data.add_argument(
        "--augment",
        action="store_true",
        help="change each vertebra every time: flip, pose, size, shape, intensities, noise",
    )


def load(options: argparse.Namespace) -> tuple[VertebraDataset, VertebraDataset | None]:
    """The vertebrae to train on, and held-out ones or None, of the parsed options.

    Raises:
        InputError: Options that do not go together, and whatever the readers of the files refuse.
    """
    _check(options)
    train: VertebraDataset
    held_out: VertebraDataset | None = None
    if options.generate is not None:
        train = _generated(options)
    elif options.manifest:
        train, held_out = _cohort(options)
    else:
        train = _listed(options)
    if options.val_img_list:
        if bool(options.val_seg_list) != train.has_labels:
            raise InputError("--val-seg-list must be given where the training data have masks, and only there")
        held_out = _held_out_list(options, train.inshape)
    return train, held_out


def _check(options: argparse.Namespace) -> None:
    goes_with = {
        "--img-list": (
            "img_prefix",
            "img_suffix",
            "seg_list",
            "seg_prefix",
            "seg_suffix",
            "part_list",
            "group_list",
            "atlas",
            "atlas_seg",
        ),
        "--manifest": ("split", "pairs_per_sample"),
        "--generate": ("shapes", "phantom_fraction"),
        "--val-img-list": ("val_seg_list", "val_group_list"),
    }
    for source, names in goes_with.items():
        if getattr(options, source[2:].replace("-", "_")) is None:
            for name in names:
                if getattr(options, name):
                    raise InputError(f"--{name.replace('_', '-')}: goes with {source}")
    if options.check_people and not options.split:
        raise InputError("--check-people: goes with --split; check_people.py compares any two lists")
    if options.generate is None and options.spacing != 1:
        raise InputError("--spacing: goes with --generate; crops have the voxels that they have")


def _generated(options: argparse.Namespace) -> VertebraDataset:
    if not 0 <= options.phantom_fraction <= 1:
        raise InputError(f"--phantom-fraction {options.phantom_fraction}: must lie between 0 and 1")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    generator = CohortGenerator(
        options.seed,
        sources=read_sources(options.shapes) if options.shapes else (),
        phantom_fraction=options.phantom_fraction,
        spacing=options.spacing,
    )
    return GeneratedVertebrae(generator, options.generate, options.data_processes)


def _cohort(options: argparse.Namespace) -> tuple[VertebraDataset, VertebraDataset | None]:
    samples: Sequence[Sample]
    held_out: Sequence[Sample] = ()
    if options.split:
        split = read_split(options.split, options.manifest)
        refuse_shared_names(split, options.split)
        if options.check_people:
            refuse_shared_shapes(split, options.split)
        samples, held_out = split.train, split.val
    else:
        samples = usable(read_manifest(options.manifest))
    if not samples:
        raise InputError(f"{options.split or options.manifest}: holds no whole vertebra to train on")
    pairs = None
    if options.pairs_per_sample is not None:
        pairs = mixed_pairs(samples, options.pairs_per_sample, options.seed)
    train = Vertebrae.from_samples(samples, pairs)
    return train, Vertebrae.from_samples(held_out, inshape=train.inshape) if held_out else None


def _to_atlas(options: argparse.Namespace, images: list[str], labels: list[str] | None) -> VertebraDataset:
    """The atlas as the fixed image of every pair."""
    if options.part_list:
        raise InputError("--part-list: goes without --atlas")
    if options.group_list:
        raise InputError("--group-list: goes without --atlas, which every image is paired with")
    if (options.atlas_seg is None) != (labels is None):
        raise InputError("--atlas-seg: must be given where --seg-list is, and only there")
    chosen = [(0, index) for index in range(1, len(images) + 1)]
    all_labels = None if labels is None else [options.atlas_seg, *labels]
    return Vertebrae([options.atlas, *images], all_labels, chosen=chosen)


def _listed(options: argparse.Namespace) -> VertebraDataset:
    if options.atlas_seg and not options.atlas:
        raise InputError("--atlas-seg: goes with --atlas")
    if not (options.group_list or options.atlas):
        warn(
            "--img-list without --group-list: every image is paired with every other one, L1 with L5 and two scans of "
            "one person too, if the list holds such"
        )
    images = read_list(options.img_list, options.img_prefix, options.img_suffix)
    labels = read_list(options.seg_list, options.seg_prefix, options.seg_suffix) if options.seg_list else None
    if options.atlas:
        return _to_atlas(options, images, labels)
    groups = read_lines(options.group_list) if options.group_list else None
    if options.part_list and labels is None:
        raise InputError("--part-list: needs --seg-list")
    return Vertebrae(images, labels, groups, parts=read_list(options.part_list) if options.part_list else None)


def _held_out_list(options: argparse.Namespace, inshape: tuple[int, ...]) -> VertebraDataset:
    images = read_list(options.val_img_list)
    labels = read_list(options.val_seg_list) if options.val_seg_list else None
    groups = read_lines(options.val_group_list) if options.val_group_list else None
    return Vertebrae(images, labels, groups, inshape)
