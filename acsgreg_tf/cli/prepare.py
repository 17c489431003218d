"""Crop the vertebrae of CTs with label maps: 1 mm, RAS, masked, in [0, 1], with a manifest that training reads.

--data is a VerSe / BIDS tree (.._ct and .._seg-vert_msk), an nnU-Net data set (imagesTr, labelsTr), or a CSV list of
scans with the columns image,label[,person,level,number]. A second run does what is missing, so a run that was stopped
is started again with the same command. A scan that cannot be used is a line of the manifest, with the reason in its
notes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from acsgreg_tf.anatomy.levels import label_of, parse_table
from acsgreg_tf.cli import common, split, terminal
from acsgreg_tf.cohort.crops import Preparation
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.prepare import MANIFEST, prepare
from acsgreg_tf.cohort.scans import LAYOUTS, ScanFiles, find_scans
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.network import NETWORK_SHAPE

_EXAMPLES = """VerSe's folder, four scans at a time, ten people a level held out
  acsgreg prepare --data verse19/ --out cohort --processes 4 --split person
eight people that TotalSegmentator labelled, two a level held out
  acsgreg prepare --data scans.csv --table totalsegmentator --out cohort --split person --test-per-level 2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_prepare, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("prepare", __doc__, _EXAMPLES)
    parser.add_argument("--data", required=True, help="folder of scans, or a CSV list of them")
    parser.add_argument(
        "--out", required=True, help="folder for crops/ and manifest.csv; what is already there is kept"
    )
    parser.add_argument("--layout", choices=LAYOUTS, help="of --data; default: from what is there")
    parser.add_argument("--levels", default="L1,L2,L3,L4,L5", help="which to crop (default: %(default)s)")
    parser.add_argument("--table", default="verse", help="label numbers: verse, totalsegmentator, or L1=20,L2=21")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=NETWORK_SHAPE,
        metavar=("X", "Y", "Z"),
        help="of the crops, 1 mm voxels (default: 128 128 64)",
    )
    parser.add_argument(
        "--without-ct",
        choices=("report", "simulate"),
        default="report",
        help="label maps without a CT are reported as faults, or get simulated intensities (default: %(default)s)",
    )
    parser.add_argument(
        "--by-headers",
        action="store_true",
        help="accept label maps on another grid than their CT's, placed by the headers",
    )
    parser.add_argument(
        "--processes", type=int, default=1, help="processes that work side by side (default: %(default)s)"
    )
    common.add_dask(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    split.add_options(parser)
    return parser


def _prepare(options: argparse.Namespace) -> None:
    table = parse_table(options.table)
    levels = tuple(dict.fromkeys(name.strip() for name in options.levels.split(",")))
    for level in levels:
        label_of(level, table)
    common.check_workers(options.processes, options.dask)
    split.check(options)
    common.make_absolute(options, ["data", "out"])
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    if min(options.shape) < 2:
        raise InputError(f"--shape {' '.join(map(str, options.shape))}: must be voxels along x, y and z")
    settings = Preparation(levels, table, tuple(options.shape), options.without_ct == "simulate", options.by_headers)
    scans = find_scans(options.data, options.layout)
    with terminal.bar(len(scans), "scan") as bar:

        def progress(scan: ScanFiles, samples: list[Sample]) -> None:
            bar.update()
            for sample in samples:
                if sample.notes and not sample.notes.startswith("intensities simulated"):
                    what = " ".join(word for word in (scan.name, "" if scan.level else sample.level) if word)
                    tqdm.write(f"warning: {what}: {sample.notes}", file=sys.stderr)

        samples = prepare(scans, options.out, settings, options.processes, progress, options.dask)
    _report(scans, samples, Path(options.out) / MANIFEST)
    split.write(options, samples, Path(options.out) / MANIFEST)


def _report(scans: list[ScanFiles], samples: list[Sample], manifest: Path) -> None:
    shown = [s for s in samples if s.image]
    cut = sum(s.whole == "cut" for s in shown)
    faults = len(samples) - len(shown)
    print(f"{manifest}: {len(shown)} vertebrae of {len(scans)} scans, {cut} of them cut; {faults} faults")
