"""Running the studies: each network is trained, then tested on the people held out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.pairs import mixed_pairs, ordered_pairs
from acsgreg_tf.cohort.split import Split
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.methods import CropMethod
from acsgreg_tf.evaluation.pairs import pair_rows
from acsgreg_tf.evaluation.runner import Row, evaluate
from acsgreg_tf.evaluation.studies.cohort import reduced_crops
from acsgreg_tf.evaluation.studies.plan import STUDIES, Run, check_ablations, check_names, plan
from acsgreg_tf.evaluation.studies.scales import Scale
from acsgreg_tf.evaluation.studies.train import TrainingFacts, train_run
from acsgreg_tf.io.work_folder import claim, make_folder


@dataclass(frozen=True)
class StudyResults:
    """Studies that were trained and tested.

    Attributes:
        out: Their folder.
        scale: Their size.
        split: Split of the full crops.
        runs: The runs, in order.
        rows: {run's name: rows} as `evaluation.evaluate` returns them.
        facts: {run's name: TrainingFacts}.
        mixed: Number of training pairs of studies II and III.
        test_pairs: (fixed, moving) Samples whose files are those that were tested.
    """

    out: Path
    scale: Scale
    split: Split
    runs: tuple[Run, ...]
    rows: dict[str, list[Row]]
    facts: dict[str, TrainingFacts]
    mixed: int
    test_pairs: tuple[tuple[Sample, Sample], ...]


def run_studies(
    split: Split,
    out: str | os.PathLike,
    scale: Scale,
    studies: Sequence[str] = tuple(STUDIES),
    ablations: Sequence[str] = (),
    seeds: int = 1,
    processes: int = 1,
    log: Callable[[str], Any] = print,
    verbose: int = 0,
) -> StudyResults:
    """Train and test the networks of the studies; what the folder holds already is not done again.

    Args:
        split: Crops on one grid of 1 mm, in [0, 1], masked.
        out: Folder, made if missing.
        scale: Such as SCALES["cpu"]; the seed of weights, sampled pairs and order is its recipe's.
        studies: Of STUDIES.
        ablations: Of ABLATIONS.
        seeds: Trainings of each network of studies II and III, on the same pairs; they differ in the seed of weights
            and order. The first has the seed of study I and of the ablations.
        processes: How many test side by side.
        log: Called with a line as each part begins.
        verbose: Of training, as in `keras.Model.fit`.

    Raises:
        InputError: The folder holds studies of another kind, a split without pairs, crops that do not fit, an ablation
            that changes nothing; whatever training and evaluation refuse.
    """
    out = Path(out)
    check_names(studies, ablations)
    check_ablations(ablations, scale.networks["ACSGRegNet"])
    people = {part: sorted({(s.person, s.level) for s in getattr(split, part)}) for part in ("train", "test")}
    claim(out, "studies.json", {"scale": _identity(scale), "split": people})
    make_folder(out / "runs")
    train, test = (reduced_crops(part, scale.spacing, out / "crops") for part in (split.train, split.test))
    test_pairs = ordered_pairs(test)
    if not test_pairs:
        raise InputError("no pair to test: the split holds out no two people of one level")
    mixed = mixed_pairs(train, scale.per_sample, scale.recipe.seed)
    runs = plan(sorted({sample.level for sample in test}), studies, ablations, seeds)
    rows, facts = {}, {}
    for run in runs:
        folder = out / "runs" / run.name
        samples = [sample for sample in train if run.level in (None, sample.level)]
        pairs = mixed if run.level is None else ordered_pairs(samples)
        facts[run.name] = train_run(run, scale, samples, pairs, folder, log, verbose)
        tested = [pair for pair in test_pairs if run.level in (None, pair[0].level)]
        log(f"{run.name}: testing on {len(tested)} pairs")
        rows[run.name] = _test(run, tested, folder, processes)
    return StudyResults(out, scale, split, tuple(runs), rows, facts, len(mixed), tuple(test_pairs))


def _identity(scale: Scale) -> dict[str, Any]:
    """The scale as a dict, without what older folders lack where it has the value that they meant."""
    identity = asdict(scale)
    if scale.precision == "float32":
        del identity["precision"]
    if scale.recipe.accumulate == 1:
        del identity["recipe"]["accumulate"]
    return identity


def _test(run: Run, pairs: Sequence[tuple[Sample, Sample]], folder: Path, processes: int) -> list[Row]:
    """The rows of `folder`/test.csv; one pair that fails is a fault of all."""
    method = CropMethod(str(folder / "last.h5"), run.title)
    rows = evaluate([method], pair_rows(pairs), folder / "test.csv", processes)
    faults = [row["fault"] for row in rows if row["fault"]]
    if faults:
        raise InputError(f"{folder / 'test.csv'}: {len(faults)} pairs failed; the first: {faults[0]}")
    return rows
