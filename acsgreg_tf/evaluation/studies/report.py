"""The report of the studies: the paper's Tables 1 to 4 and Figures 5 and 6, and a table of the ablations."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from acsgreg_tf import evaluation, networks
from acsgreg_tf.evaluation.boxes import box_figure
from acsgreg_tf.evaluation.latex import from_markdown, latex_table
from acsgreg_tf.evaluation.paired import COMPARISON_HEADS, Comparison, compare, comparison_cells, comparison_markdown
from acsgreg_tf.evaluation.paper_tables import TESTS_NOTE
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.studies.figures import comparison_figure, loss_figure
from acsgreg_tf.evaluation.studies.paper import PAPER
from acsgreg_tf.evaluation.studies.plan import STUDIES, Run
from acsgreg_tf.evaluation.studies.report_tables import ablation_table, by_level, fold_table, stage_table
from acsgreg_tf.evaluation.studies.run import StudyResults
from acsgreg_tf.evaluation.studies.seeds import averaged, seed_table
from acsgreg_tf.io.files import write_text
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.io.tables import write_table
from acsgreg_tf.registration.drawing import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_SEEDS_NOTE = (
    "Each training's mean over all pairs: mean over the trainings ± their standard deviation, and differences with a "
    "95 % interval by Student's t over the trainings."
)


def write_report(results: StudyResults) -> Path:
    """Write the report into the studies' folder; what needs a study that was not run is left out.

    It is `table1.csv` to `table4.csv`, `ablations.csv`, `seeds.csv` (if there are several), `figure5.png`,
    `figure6.png`, `tests.csv` (ACSGRegNet of study III against the other studies and each ablation), `boxes.png`, and
    `studies.md`, which shows all of them with the paper's numbers in brackets; `studies.tex` has the tables in LaTeX.
    Tables 1 to 4, the box plots and the tests of the studies have a pair's mean over the seeds; the figures show the
    first training, with which the ablations are compared.

    Returns:
        The path of `studies.md`.
    """
    out = results.out
    first = [run for run in results.runs if not run.repeat]
    runs = {study: [run for run in first if run.study == study] for study in (*STUDIES, "ablation")}
    repeats = {run.name: _repeats(results, run) for run in first}
    rows = {name: averaged(parts) for name, parts in repeats.items()}
    summaries, parts = {}, [_preface(results)]
    latex: list[str] = []

    def show(heading: str, table: str, label: str) -> None:
        parts.append(f"## {heading}\n\n{table}")
        latex.append(from_markdown(table, f"{heading}. In brackets: the paper.", label))

    for number, study in enumerate(STUDIES, start=1):
        if runs[study]:
            summaries[study] = by_level([row for run in runs[study] for row in rows[run.name]])
            table = stage_table(out / f"table{number}.csv", summaries[study], PAPER[study])
            show(f"Table {number}: study {study}, {STUDIES[study]}", table, f"tab:study{study}")
    if {"II", "III"} <= set(summaries):
        heading = "Table 4: non-positive Jacobian determinants (AVoxelMorph of study II, ACSGRegNet of study III)"
        show(heading, fold_table(out / "table4.csv", summaries["II"], summaries["III"]), "tab:folds")
        curves = {run.network: _losses(out / "runs" / run.name) for run in (*runs["II"], *runs["III"])}
        figure = loss_figure(curves, "Training losses of studies II and III (after the paper's Figure 5)")
        save_figure(figure, out / "figure5.png")
        parts.append("## Figure 5: loss curves\n\n![loss against epoch](figure5.png)")
    save_figure(_one_pair(results), out / "figure6.png")
    parts.append("## Figure 6: one pair\n\n![moving, fixed, warped and phi](figure6.png)")
    if runs["ablation"]:
        shown = [
            (run.title, results.facts[run.name].parameters, by_level(results.rows[run.name])["Average"])
            for run in (*runs["III"], *runs["ablation"], *runs["II"])
        ]
        show("Ablations (not in the paper)", ablation_table(out / "ablations.csv", shown), "tab:ablations")
    if _repeated(results):
        compared = {f"study {run.study}": repeats[run.name] for run in (*runs["III"], *runs["II"])}
        table = seed_table(out / "seeds.csv", compared)
        parts.append(f"## Trainings with other seeds\n\n{table}\n\n{_SEEDS_NOTE}")
        latex.append(from_markdown(table, _SEEDS_NOTE, "tab:seeds"))
    _differences(results, rows, runs, parts, latex)
    write_text(out / "studies.tex", "\n".join(latex))
    path = out / "studies.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _repeats(results: StudyResults, run: Run) -> list[list[Row]]:
    """The rows of a run and of its repeats."""
    same = (other for other in results.runs if replace(other, name=run.name, repeat=0) == run)
    return [results.rows[other.name] for other in same]


def _repeated(results: StudyResults) -> int:
    """How many trainings of studies II and III there are beyond the first."""
    return max(run.repeat for run in results.runs)


def _differences(
    results: StudyResults,
    measured: dict[str, list[Row]],
    runs: dict[str, list[Run]],
    parts: list[str],
    latex: list[str],
) -> None:
    """Box plots of the studies, and what differs between study III and the others, tested.

    `measured` has each run's rows, averaged over its repeats.
    """
    out = results.out
    rows = {
        f"study {study}": [row for run in runs[study] for row in measured[run.name]] for study in STUDIES if runs[study]
    }
    rows |= {run.title: measured[run.name] for run in runs["ablation"]}
    save_figure(box_figure(rows), out / "boxes.png")
    parts.append("## By level\n\n![Dice and surface distance by level](boxes.png)")
    whole = "study III"
    if whole not in rows or len(rows) < 2:
        return
    first = f"{whole}, seed {results.scale.recipe.seed}" if _repeated(results) else whole
    once = {first: results.rows[runs["III"][0].name]}
    named = {name: [row | {"method": name} for row in part] for name, part in (rows | once).items()}
    ablations = {run.title for run in runs["ablation"]}
    tests = [
        test
        for name, part in named.items()
        if name not in (whole, first)
        for test in compare(
            named[first if name in ablations else whole],
            part,
            ("dice_deformable", "assd_mm_deformable", "folds_percent"),
        )
    ]
    write_table(out / "tests.csv", Comparison._fields, [test._asdict() for test in tests])
    parts.append(f"## Differences (not in the paper)\n\n{comparison_markdown(tests)}\n\n{TESTS_NOTE}")
    latex.append(latex_table(COMPARISON_HEADS, comparison_cells(tests), TESTS_NOTE, "tab:tests"))


def _preface(results: StudyResults) -> str:
    """What was trained and tested, and a table of the runs."""
    recipe, split, pairs = results.scale.recipe, results.split, len(results.test_pairs)
    people = {part: len({s.person for s in getattr(split, part)}) for part in ("train", "test")}
    affine = ""
    if recipe.affine_epochs:
        affine = f"{recipe.affine_epochs} epochs of the affine stage alone (Adam {recipe.affine_lr:g}), then "
    lambdas = " ".join(f"{weight:g}" for weight in recipe.lambdas)
    batch = str(recipe.batch_size)
    if recipe.accumulate > 1:
        batch += f" x {recipe.accumulate} accumulated"
    if results.scale.precision != "float32":
        batch += f" in {results.scale.precision}"
    seeds = f"seed {recipe.seed}"
    if more := _repeated(results):
        seeds += f" (studies II and III: {recipe.seed} to {recipe.seed + more}, pairs have their means)"
    lines = [
        "# The paper's studies",
        "",
        f"- Crops with {results.scale.spacing} mm voxels; {people['train']} people for training "
        f"({len(split.train)} vertebrae), {people['test']} for testing ({len(split.test)} vertebrae, {pairs} ordered "
        f"pairs), split by {split.by}.",
        f"- {affine}{recipe.epochs} joint epochs, batch {batch}, Adam {recipe.lr:g} ({recipe.schedule}), "
        f"LNCC window {recipe.window}, lambdas {lambdas}, {seeds}. "
        f"Studies II and III: {results.mixed} pairs.",
        "- Labels are warped once, linearly, and cut at 0.5. Folds: forward differences, the paper's convention; on a "
        "coarser grid there are fewer voxels to count.",
        "- In brackets: the paper, on its own private data (10 people a level for testing, 1 mm).",
        "",
    ]
    heads = ["run", "network", "parameters", "pairs", "steps"]
    table = []
    for run in results.runs:
        facts = results.facts[run.name]
        table.append([run.name, run.network, *(f"{n:,}" for n in (facts.parameters, facts.pairs, facts.steps))])
    return "\n".join([*lines, ""]) + evaluation.markdown(heads, table)


def _losses(folder: Path) -> dict[str, list[float]]:
    """L_a and L_d of every joint epoch of a run."""
    with open(folder / "log-joint.csv", newline="", encoding="utf-8") as file:
        log = {int(row["epoch"]): row for row in csv.DictReader(file)}
    epochs = [log[epoch] for epoch in sorted(log)]
    return {
        "affine": [float(row["m_a_loss"]) for row in epochs],
        "deformable": [float(row["m_d_loss"]) for row in epochs],
    }


def _one_pair(results: StudyResults) -> "Figure":
    """Figure 6: the first test pair as each study's network registers it."""
    fixed, moving = results.test_pairs[0]
    images = {"fixed": read_image(fixed.image), "moving": read_image(moving.image)}
    inputs = {name: image.data[None, ..., None] for name, image in images.items()}
    shown = {}
    for run in results.runs:
        if run.study in STUDIES and run.level in (None, fixed.level):
            outputs = networks.load(results.out / "runs" / run.name / "last.h5")(inputs, training=False)
            m_a, m_d, phi = (keras.ops.convert_to_numpy(outputs[name])[0] for name in ("m_a", "m_d", "phi"))
            shown[f"Study {run.study}: {STUDIES[run.study]}"] = m_a[..., 0], m_d[..., 0], phi
    return comparison_figure(
        images["fixed"].data,
        images["moving"].data,
        shown,
        tuple(images["fixed"].grid.spacing),
        read_label(fixed.label).data > 0,
        f"{fixed.level}: {moving.person} to {fixed.person} (after the paper's Figure 6)",
    )
