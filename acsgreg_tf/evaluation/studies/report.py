"""What the paper shows of its studies, made of ours: Tables 1 to 4, Figures 5 and 6, and a table of the ablations.

Each table is a CSV and, with the paper's own figures beside ours, a part of `studies.md`.
"""

import csv

import keras

from acsgreg_tf import evaluation, networks
from acsgreg_tf.evaluation.studies import figures
from acsgreg_tf.evaluation.studies.run import STUDIES
from acsgreg_tf.io.files import atomic_path
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.registration import STAGES
from acsgreg_tf.registration.drawing import save_figure

__all__ = ["PAPER", "PAPER_FOLDS", "write_report"]

# Tables 1 to 3 of the paper, a row a level: Dice, PREC, REC and ASSD (mm), each at Initial, Affine and Final.
_ORDER = [(m, s) for m in ("dice", "precision", "recall", "assd_mm") for s in STAGES]
PAPER = {
    "I": {
        "L1": (0.610, 0.674, 0.900, 0.627, 0.686, 0.937, 0.627, 0.679, 0.867, 2.879, 2.290, 0.690),
        "L2": (0.610, 0.685, 0.902, 0.617, 0.686, 0.920, 0.617, 0.692, 0.888, 2.915, 2.273, 0.738),
        "L3": (0.642, 0.724, 0.936, 0.650, 0.725, 0.969, 0.650, 0.728, 0.906, 2.986, 2.162, 0.511),
        "L4": (0.623, 0.731, 0.945, 0.634, 0.736, 0.980, 0.634, 0.737, 0.914, 3.196, 2.157, 0.462),
        "L5": (0.629, 0.672, 0.919, 0.637, 0.602, 0.922, 0.637, 0.776, 0.918, 3.061, 2.777, 0.702),
        "Average": (0.623, 0.697, 0.920, 0.633, 0.687, 0.945, 0.633, 0.722, 0.898, 3.007, 2.332, 0.621),
    },
    "II": {
        "L1": (0.610, 0.669, 0.938, 0.627, 0.597, 0.931, 0.627, 0.788, 0.945, 2.879, 2.453, 0.480),
        "L2": (0.610, 0.731, 0.954, 0.617, 0.656, 0.946, 0.617, 0.833, 0.961, 2.915, 2.064, 0.381),
        "L3": (0.642, 0.744, 0.959, 0.650, 0.676, 0.951, 0.650, 0.837, 0.967, 2.986, 2.053, 0.365),
        "L4": (0.623, 0.744, 0.957, 0.634, 0.661, 0.954, 0.634, 0.852, 0.960, 3.196, 2.142, 0.380),
        "L5": (0.629, 0.691, 0.930, 0.637, 0.612, 0.925, 0.637, 0.803, 0.936, 3.061, 2.615, 0.635),
        "Average": (0.623, 0.716, 0.947, 0.633, 0.640, 0.941, 0.633, 0.823, 0.954, 3.007, 2.265, 0.448),
    },
    "III": {
        "L1": (0.610, 0.691, 0.958, 0.627, 0.632, 0.950, 0.627, 0.776, 0.965, 2.879, 2.242, 0.329),
        "L2": (0.610, 0.738, 0.966, 0.617, 0.672, 0.960, 0.617, 0.825, 0.972, 2.915, 1.995, 0.280),
        "L3": (0.642, 0.762, 0.969, 0.650, 0.699, 0.962, 0.650, 0.843, 0.976, 2.986, 1.912, 0.278),
        "L4": (0.623, 0.760, 0.967, 0.634, 0.701, 0.965, 0.634, 0.835, 0.969, 3.196, 1.976, 0.291),
        "L5": (0.629, 0.703, 0.954, 0.637, 0.638, 0.947, 0.637, 0.793, 0.962, 3.061, 2.457, 0.425),
        "Average": (0.623, 0.731, 0.963, 0.633, 0.668, 0.957, 0.633, 0.814, 0.969, 3.007, 2.116, 0.321),
    },
}
# Table 4, a row a level: count (AVoxelMorph mean, standard deviation, ACSGRegNet mean, standard deviation), then percent.
PAPER_FOLDS = {
    "L1": (27427, 5839, 10209, 1500, 2.7, 0.6, 1.0, 0.1),
    "L2": (26938, 4492, 10532, 1123, 2.7, 0.4, 1.0, 0.1),
    "L3": (29344, 4972, 11569, 1842, 2.9, 0.5, 1.1, 0.2),
    "L4": (30017, 5469, 11181, 1632, 3.0, 0.5, 1.1, 0.2),
    "L5": (37252, 6051, 13065, 2632, 3.7, 0.6, 1.3, 0.3),
    "Average": (30195, 6523, 11311, 2064, 3.0, 0.6, 1.1, 0.2),
}


def write_report(done):
    """Write `table1.csv` to `table4.csv`, `ablations.csv`, `figure5.png`, `figure6.png` and `studies.md` into their folder.

    What needs a study that was not run is left out.

    Args:
        done: `studies.Done`.

    Returns:
        The path of `studies.md`.
    """
    by_study = {study: [run for run in done.runs if run.study == study] for study in (*STUDIES, "ablation")}
    summaries, parts = {}, [_preface(done)]
    for number, study in enumerate(STUDIES, start=1):
        if by_study[study]:
            summaries[study] = _by_level([row for run in by_study[study] for row in done.rows[run.name]])
            heading = f"## Table {number}: study {study}, {STUDIES[study]}"
            parts.append(
                f"{heading}\n\n{_stage_table(done.out / f'table{number}.csv', summaries[study], PAPER[study])}"
            )
    if {"II", "III"} <= set(summaries):
        heading = "## Table 4: non-positive Jacobian determinants (AVoxelMorph of study II, ACSGRegNet of study III)"
        parts.append(f"{heading}\n\n{_fold_table(done.out / 'table4.csv', summaries['II'], summaries['III'])}")
        curves = {run.network: _losses(done.out / "runs" / run.name) for run in (*by_study["II"], *by_study["III"])}
        figure = figures.loss_figure(curves, "Training losses of studies II and III (after the paper's Figure 5)")
        save_figure(figure, done.out / "figure5.png")
        parts.append("## Figure 5: loss curves\n\n![loss against epoch](figure5.png)")
    save_figure(_qualitative(done), done.out / "figure6.png")
    parts.append("## Figure 6: one pair\n\n![moving, fixed, warped and phi](figure6.png)")
    if by_study["ablation"]:
        shown = [*by_study["III"], *by_study["ablation"], *by_study["II"]]
        found = [
            (run.title, done.facts[run.name]["parameters"], _by_level(done.rows[run.name])["Average"]) for run in shown
        ]
        parts.append(f"## Ablations (not in the paper)\n\n{_ablation_table(done.out / 'ablations.csv', found)}")
    path = done.out / "studies.md"
    with atomic_path(path) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _preface(done):
    recipe, split, pairs = done.scale.recipe, done.split, len(done.test_pairs)
    people = {part: len({s.person for s in getattr(split, part)}) for part in ("train", "test")}
    affine = ""
    if recipe.affine_epochs:
        affine = f"{recipe.affine_epochs} epochs of the affine stage alone (Adam {recipe.affine_lr:g}), then "
    lines = [
        "# The paper's studies",
        "",
        f"- Crops with {done.scale.spacing} mm voxels; {people['train']} people for training ({len(split.train)} vertebrae), "
        f"{people['test']} for testing ({len(split.test)} vertebrae, {pairs} ordered pairs), split by {split.by}.",
        f"- {affine}{recipe.epochs} joint epochs, batch {recipe.batch_size}, Adam {recipe.lr:g} ({recipe.schedule}), "
        f"LNCC window {recipe.window}, lambdas {' '.join(f'{weight:g}' for weight in recipe.lambdas)}, seed {recipe.seed}. "
        f"Studies II and III: {done.mixed} pairs.",
        "- Labels are warped once, linearly, and cut at 0.5. Folds: forward differences, the paper's convention; on a coarser "
        "grid there are fewer voxels to count.",
        "- In brackets: the paper, on its own private data (10 people a level for testing, 1 mm).",
        "",
    ]
    numbers = [[f"{done.facts[run.name][key]:,}" for key in ("parameters", "pairs", "steps")] for run in done.runs]
    table = [[run.name, run.network, *found] for run, found in zip(done.runs, numbers, strict=True)]
    return "\n".join([*lines, ""]) + evaluation.markdown(["run", "network", "parameters", "pairs", "steps"], table)


def _by_level(rows):
    """{level: summary} with "Average" over all pairs last, whatever the methods are called."""
    (levels,) = evaluation.summarise([row | {"method": ""} for row in rows]).values()
    return {"Average" if level == "all" else level: found for level, found in levels.items()}


def _stage_table(path, summary, paper):
    """Tables 1 to 3: writes the CSV, returns the Markdown."""
    names = {"dice": "Dice", "precision": "PREC", "recall": "REC", "assd_mm": "ASSD mm"}
    heads = [f"{names[m]} {evaluation.SHOWN[s]}" for m, s in _ORDER]
    lines, table = [], []
    for level, found in summary.items():
        theirs = paper.get(level, (None,) * len(_ORDER))
        ours = [found[f"{m}_{s}"] for m, s in _ORDER]
        cells = [_beside(f"{o['mean']:.3f}", t, 3) for o, t in zip(ours, theirs, strict=True)]
        lines.append([level, str(found["pairs"]), *cells])
        table.append(
            {"level": level, "pairs": found["pairs"]}
            | {
                f"{m}_{s}{suffix}": value
                for (m, s), o, t in zip(_ORDER, ours, theirs, strict=True)
                for suffix, value in (("", o["mean"]), ("_std", o["std"]), ("_paper", t))
            }
        )
    _write_csv(path, table)
    return evaluation.markdown(["", "pairs", *heads], lines)


def _fold_table(path, avoxelmorph, acsgregnet):
    """Table 4: writes the CSV, returns the Markdown."""
    shown = {"folds_count": "folds", "folds_percent": "folds %"}
    columns = [(m, n, s) for m in shown for n in ("AVoxelMorph", "ACSGRegNet") for s in ("mean", "std")]
    heads = [f"{shown[m]} {n} {'Mean' if s == 'mean' else 'Std.'}" for m, n, s in columns]
    lines, table = [], []
    for level in acsgregnet:
        found = {"AVoxelMorph": avoxelmorph[level], "ACSGRegNet": acsgregnet[level]}
        theirs = PAPER_FOLDS.get(level, (None,) * len(columns))
        ours = [found[n][m][s] for m, n, s in columns]
        digits = [0 if m == "folds_count" else 3 for m, *_ in columns]
        lines.append(
            [
                level,
                *(_beside(f"{o:.{d}f}", t, 0 if d == 0 else 1) for o, t, d in zip(ours, theirs, digits, strict=True)),
            ]
        )
        table.append(
            {"level": level}
            | {
                f"{m}_{n}_{s}{suffix}": value
                for (m, n, s), o, t in zip(columns, ours, theirs, strict=True)
                for suffix, value in (("", o), ("_paper", t))
            }
        )
    _write_csv(path, table)
    return evaluation.markdown(["", *heads], lines)


def _ablation_table(path, found):
    """ACSGRegNet whole and without its parts: writes the CSV, returns the Markdown."""
    columns = [
        ("dice_affine", 3),
        ("dice_deformable", 3),
        ("assd_mm_deformable", 3),
        ("hd95_mm_deformable", 2),
        ("folds_percent", 4),
        ("folded_volume_percent", 4),
    ]
    heads = [
        "",
        "parameters",
        "Dice Affine",
        "Dice Final",
        "ASSD mm Final",
        "HD95 mm Final",
        "folds %",
        "folded volume %",
    ]
    lines, table = [], []
    for title, parameters, summary in found:
        lines.append([title, f"{parameters:,}", *(evaluation.cell(summary[name], digits) for name, digits in columns)])
        numbers = {}
        for name, _ in columns:
            numbers |= {name: summary[name]["mean"], f"{name}_std": summary[name]["std"]}
        table.append({"network": title, "parameters": parameters} | numbers)
    _write_csv(path, table)
    return evaluation.markdown(heads, lines)


def _beside(ours, theirs, digits):
    return ours if theirs is None else f"{ours} ({theirs:.{digits}f})"


def _write_csv(path, table):
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in table)


def _losses(folder):
    """L_a and L_d of every joint epoch, as training logged them."""
    with open(folder / "log-joint.csv", newline="", encoding="utf-8") as file:
        log = {int(row["epoch"]): row for row in csv.DictReader(file)}
    epochs = [log[epoch] for epoch in sorted(log)]
    return {
        "affine": [float(row["m_a_loss"]) for row in epochs],
        "deformable": [float(row["m_d_loss"]) for row in epochs],
    }


def _qualitative(done):
    """Figure 6: what each study's network makes of the first test pair."""
    fixed, moving = done.test_pairs[0]
    images = {"fixed": read_image(fixed.image), "moving": read_image(moving.image)}
    inputs = {name: image.data[None, ..., None] for name, image in images.items()}
    answers = {}
    for run in done.runs:
        if run.study in STUDIES and run.level in (None, fixed.level):
            found = networks.load(done.out / "runs" / run.name / "last.h5")(inputs, training=False)
            m_a, m_d, phi = (keras.ops.convert_to_numpy(found[name])[0] for name in ("m_a", "m_d", "phi"))
            answers[f"Study {run.study}: {STUDIES[run.study]}"] = m_a[..., 0], m_d[..., 0], phi
    title = f"{fixed.level}: {moving.person} to {fixed.person} (after the paper's Figure 6)"
    label = read_label(fixed.label).data > 0
    return figures.comparison_figure(
        images["fixed"].data, images["moving"].data, answers, images["fixed"].grid.spacing, label, title
    )
