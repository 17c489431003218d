"""The paper's studies I, II and III and their ablations: trains, tests, and writes Tables 1 to 4, Figures 5 and 6."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acsgreg_tf.cli import common
from acsgreg_tf.cli.signals import sigterm_as_interrupt
from acsgreg_tf.errors import InputError

_EXAMPLES = """a minute, to see that it runs
  acsgreg studies --scale smoke --out studies
the paper's studies and ablations on a prepared cohort
  acsgreg studies --scale paper --out studies --ablations --manifest cohort/manifest.csv \\
      --split cohort/split-person.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input, 130 after Ctrl-C)."""
    return common.run(_studies, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("studies", __doc__, _EXAMPLES)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for all of it; what is already there is kept"
    )
    parser.add_argument(
        "--scale",
        required=True,
        choices=("smoke", "cpu", "paper"),
        help="smoke: a minute, to see that it runs; cpu: hours on a few cores, 2 mm voxels; paper: 1 mm, a GPU",
    )
    parser.add_argument(
        "--studies", nargs="+", default=["I", "II", "III"], metavar="N", help="some of I, II, III (default: all three)"
    )
    parser.add_argument(
        "--ablations",
        nargs="*",
        metavar="NAME",
        help="study III without sam, cam, gate or labels, or with the normalisation batch or instance; without a name "
        "all that change something",
    )
    data = parser.add_argument_group("cohort (default: a generated one)")
    data.add_argument("--manifest", metavar="CSV", help="of a prepared cohort (prepare.py)")
    data.add_argument("--split", metavar="JSON", help="who is trained on and who is tested (prepare.py --split)")
    data.add_argument("--people", type=int, help="of the generated cohort (default: the scale's)")
    data.add_argument("--test-people", type=int, help="how many of them are held out (default: the scale's)")
    parser.add_argument("--epochs", type=int, help="joint epochs (default: the scale's)")
    parser.add_argument("--batch-size", type=int, help="pairs a step (default: the scale's)")
    parser.add_argument(
        "--accumulate", type=int, metavar="N", help="average the gradients of N steps to one update (default: 1)"
    )
    parser.add_argument(
        "--mixed-precision",
        choices=("float16", "bfloat16"),
        help="train with convolutions and attention in half precision (for GPUs)",
    )
    parser.add_argument(
        "--field",
        choices=("velocity", "displacement"),
        default="velocity",
        help="what AVoxelMorph's U-Net returns, which the paper does not say (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="train the networks of II and III with N seeds, from --seed on (default: 1)",
    )
    parser.add_argument("--processes", type=int, default=1, help="that generate and test side by side (default: 1)")
    common.add_gpu(parser)
    common.add_xla(parser)
    return parser


def _studies(options: argparse.Namespace) -> None:
    _check(options)
    common.start_backend(options.gpu, xla=not options.no_xla)
    from acsgreg_tf.cohort.split import read_split
    from acsgreg_tf.evaluation import studies
    from acsgreg_tf.evaluation.studies.cohort import generated_split
    from acsgreg_tf.evaluation.studies.plan import ablations_of, check_ablations, check_names

    scale = _scale(studies.SCALES[options.scale], options)
    ablations = () if options.ablations is None else options.ablations or ablations_of(scale.networks["ACSGRegNet"])
    check_names(options.studies, ablations)
    check_ablations(ablations, scale.networks["ACSGRegNet"])
    out = Path(options.out)
    if options.split:
        split = read_split(options.split, options.manifest)
    else:
        split = generated_split(out, scale, options.processes)
    with sigterm_as_interrupt():
        results = studies.run_studies(
            split,
            out,
            scale,
            options.studies,
            ablations,
            options.seeds,
            options.processes,
            log=lambda line: print(line, flush=True),
            verbose=1 if sys.stdout.isatty() else 0,
        )
    report = studies.write_report(results)
    print(f"\n{report.read_text(encoding='utf-8')}\n{report}")


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: must be at least 1")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    if options.seeds < 1:
        raise InputError(f"--seeds {options.seeds}: must be at least 1")
    if options.manifest and not options.split:
        raise InputError("--manifest: needs the --split that goes with it")
    if options.split and (options.people or options.test_people):
        raise InputError("--people, --test-people: are for a generated cohort")


def _scale(scale: Any, options: argparse.Namespace) -> Any:
    """The scale with what the options change."""
    recipe = {name: getattr(options, name) for name in ("seed", "epochs", "batch_size", "accumulate")}
    changes = {"people": options.people, "test_people": options.test_people}
    if options.mixed_precision:
        changes["precision"] = f"mixed_{options.mixed_precision}"
    recipe, changes = ({k: v for k, v in part.items() if v is not None} for part in (recipe, changes))
    networks = scale.networks
    if options.field != "velocity":
        networks = networks | {"AVoxelMorph": {**networks["AVoxelMorph"], "field": options.field}}
    return replace(scale, recipe=replace(scale.recipe, **recipe), networks=networks, **changes)
