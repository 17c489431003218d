"""Write a cohort of generated vertebrae: real shapes varied, or the parametric phantom."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cli import common, split, terminal
from acsgreg_tf.cohort.generate import MANIFEST, CohortRecipe, generate_cohort
from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis.generator import SPACINGS
from acsgreg_tf.synthesis.sources import read_sources

_EXAMPLES = """twenty made-up vertebrae
  acsgreg generate --out cohort --count 20
a thousand, varied from real shapes
  acsgreg generate --out cohort --count 1000 --seed 11 --shapes shapes.csv --phantom-fraction 0.1 --processes 4
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_generate, parser(), arguments)


def _generate(options: argparse.Namespace) -> None:
    common.check_workers(options.processes, options.dask)
    split.check(options)
    common.make_absolute(options, ["shapes", "out"])
    if options.as_is and not options.shapes:
        raise InputError("--as-is: needs a list of shapes (--shapes)")
    sources = tuple(read_sources(options.shapes)) if options.shapes else ()
    recipe = CohortRecipe(
        None if options.as_is else options.count,
        options.seed,
        tuple(options.levels),
        sources,
        options.phantom_fraction,
        options.spacing,
        options.parts,
    )
    with terminal.bar(len(recipe), "vertebra") as bar:
        samples = generate_cohort(
            options.out, recipe, options.processes, lambda done: bar.update(done - bar.n), options.dask
        )
    split.write(options, samples, Path(options.out) / MANIFEST)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("generate", __doc__, _EXAMPLES)
    parser.add_argument("--out", required=True, help="folder to write to; what is already there is kept")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--count", type=int, help="number of vertebrae; the levels take turns")
    size.add_argument("--as-is", action="store_true", help="every shape of --shapes once, not varied")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same cohort (default: 0)")
    parser.add_argument("--shapes", help="CSV list of real shapes: path,kind,label,level,person,axes[,parts]")
    parser.add_argument("--levels", type=lambda text: text.split(","), default=list(LUMBAR), help="such as L1,L2")
    parser.add_argument("--phantom-fraction", type=float, default=0.0, help="part made from the phantom (default: 0)")
    parser.add_argument(
        "--spacing",
        type=int,
        default=1,
        choices=SPACINGS,
        help="voxel edge in mm: 1 gives 128x128x64 voxels, 2 gives 64x64x32 (default: 1)",
    )
    parser.add_argument(
        "--parts",
        action="store_true",
        help="also write maps of parts (VerSe's subregions 41 to 50): of the phantom, and of real shapes whose line in "
        "--shapes names one in a column parts",
    )
    parser.add_argument("--processes", type=int, default=1, help="processes that work side by side (default: 1)")
    common.add_dask(parser)
    split.add_options(parser)
    return parser
