"""The paper's studies I, II and III and their ablations: trains, tests, and writes Tables 1 to 4 and Figures 5 and 6."""

import sys
from dataclasses import replace
from pathlib import Path

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError

LEVELS = 5


def main(arguments=None):
    """Run the command line; returns the exit code (2 for a fault in the input, 130 after Ctrl-C)."""
    return common.run(_studies, _parser(), arguments)


def _parser():
    parser = common.Parser(prog="studies.py", description=__doc__)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for all of it; what is already there is kept"
    )
    parser.add_argument(
        "--scale",
        required=True,
        choices=("smoke", "cpu", "paper"),
        help="smoke: a minute, to see that it runs; cpu: an hour or two on a few cores, 2 mm voxels; paper: 1 mm, a GPU",
    )
    parser.add_argument(
        "--studies", nargs="+", default=["I", "II", "III"], metavar="N", help="some of I, II, III (default: all three)"
    )
    parser.add_argument(
        "--ablations",
        nargs="*",
        metavar="NAME",
        help="study III without sam, cam, gate or labels; without a name all four",
    )
    data = parser.add_argument_group("cohort (default: a generated one)")
    data.add_argument("--manifest", metavar="CSV", help="of a prepared cohort (prepare.py)")
    data.add_argument("--split", metavar="JSON", help="who is trained on and who is tested (prepare.py --split)")
    data.add_argument("--people", type=int, help="of the generated cohort (default: the scale's)")
    data.add_argument("--test-people", type=int, help="how many of them are held out (default: the scale's)")
    parser.add_argument("--epochs", type=int, help="joint epochs (default: the scale's)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=1, help="that generate and test side by side (default: 1)")
    common.add_gpu(parser)
    return parser


def _studies(options):
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: must be at least 1")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    if options.manifest and not options.split:
        raise InputError("--manifest: needs the --split that goes with it")
    if options.split and (options.people or options.test_people):
        raise InputError("--people, --test-people: are for a generated cohort")
    common.start_backend(options.gpu)
    from acsgreg_tf.evaluation.studies import report as study_report
    from acsgreg_tf.evaluation.studies import run as studies

    ablations = () if options.ablations is None else options.ablations or tuple(studies.ABLATIONS)
    scale = _scale(studies.SCALES[options.scale], options)
    studies.plan((), options.studies, ablations)  # its faults, before any work
    out = Path(options.out)
    split = _prepared(options) if options.split else _generated(out, scale, options)
    done = studies.run_studies(
        split,
        out,
        scale,
        tuple(options.studies),
        ablations,
        options.seed,
        options.processes,
        tell=lambda line: print(line, flush=True),
        verbose=1 if sys.stdout.isatty() else 0,
    )
    report = study_report.write_report(done)
    print(f"\n{report.read_text(encoding='utf-8')}\n{report}")


def _scale(scale, options):
    given = {"people": options.people, "test_people": options.test_people}
    scale = replace(scale, **{name: value for name, value in given.items() if value is not None})
    if options.epochs is None:
        return scale
    return replace(scale, recipe=replace(scale.recipe, epochs=options.epochs))


def _prepared(options):
    from acsgreg_tf.cohort.split import read_split

    return read_split(options.split, options.manifest)


def _generated(out, scale, options):
    """A cohort of the parametric vertebra in `out`/cohort, each person with all levels, split by person."""
    from acsgreg_tf.cohort.generate import MANIFEST, CohortRecipe, generate_cohort
    from acsgreg_tf.cohort.split import make_split, write_split

    cohort = out / "cohort"
    recipe = CohortRecipe(scale.people * LEVELS, options.seed)
    samples = generate_cohort(cohort, recipe, options.processes)
    split = make_split(samples, by="person", test_per_level=scale.test_people, seed=options.seed)
    write_split(out / "split.json", split, cohort / MANIFEST)
    return split
