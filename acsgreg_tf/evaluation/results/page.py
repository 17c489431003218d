"""The text of the results page, and of the short section that the README quotes."""

from collections.abc import Sequence
from pathlib import Path

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.cohort.same_person import SAME_PERSON_MM
from acsgreg_tf.evaluation.paired import compare, comparison_markdown
from acsgreg_tf.evaluation.paper_tables import TESTS_NOTE
from acsgreg_tf.evaluation.results.run import DEFAULT, NETWORK_ALONE, REFINED, Measured
from acsgreg_tf.evaluation.results.stages import good_rows, regularity_table, same_pairs, stage_table
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.tables import anatomy_table, comparison, markdown, summarise
from acsgreg_tf.registration.refine import DEFAULT_STEPS

KINDS = {"real": "two real CTs", "simulated": "one or both sides a label with simulated intensities"}


def results_page(measured: Measured, command: str, picture: str) -> str:
    """The whole page, Markdown.

    Args:
        measured: From `measure_all`.
        command: That made it.
        picture: Path of the picture as the page links it.
    """
    rows = measured.rows
    parts = [
        "# Results\n",
        f"Written by `{command}`; do not edit. Measures and conventions: [metrics](reference/metrics.md).\n",
        _origin(measured),
        "## The pairs\n",
        _people(measured),
        _comparison_of_people(measured),
        "## What did what\n",
        "Mean over ordered pairs; over all ± standard deviation over pairs (which share people). Worst tenth: the mean "
        f"over the tenth of the pairs that is worst by that measure. {_refined_note(measured)}{_so_far(measured)}\n",
    ]
    for kind, what in KINDS.items():
        if good_rows(rows, DEFAULT, kind):
            parts += [f"### Pairs of {what}\n", stage_table(rows, kind) + "\n", regularity_table(rows, kind) + "\n"]
    parts += [f"![Dice and surface distance by level]({picture})\n"]
    parts += [_parts_section(measured), _others_section(measured), _differences(measured)]
    parts += ["## The worst pairs\n", _worst(rows), _faults(rows)]
    return "\n".join(part for part in parts if part) + "\n"


def short_section(measured: Measured, page: str) -> str:
    """The README's table: the network alone, the default and refined, on real and on simulated pairs.

    Args:
        measured: From `measure_all`.
        page: Path of the page as the README links it.
    """
    lines = []
    for kind in KINDS:
        for method in (NETWORK_ALONE, DEFAULT, REFINED):
            chosen = good_rows(measured.rows, method, kind)
            if not chosen:
                continue
            levels = summarise(chosen)[method]
            every = levels["all"]
            name, worst = min(
                ((level, levels[level]) for level in LUMBAR if level in levels),
                key=lambda entry: entry[1]["dice_deformable"]["mean"],
            )
            cells = [
                f"{numbers['dice_deformable'][what]:.3f} / {numbers['assd_mm_deformable'][what]:.2f}"
                for numbers, what in ((every, "mean"), (worst, "mean"), (every, "worst"))
            ]
            folds = f"{every['written_folds_percent']['mean']:.4f} / {every['inverse_folds_percent']['mean']:.4f}"
            seconds = f"{every['seconds']['mean']:.1f}"
            lines.append(
                [f"{kind}, {method}", str(every["pairs"]), cells[0], f"{cells[1]} ({name})", cells[2], folds, seconds]
            )
    heads = ["Dice / ASSD mm", "pairs", "mean", "worst level", "worst tenth", "folds %, written and inverse", "seconds"]
    machine = measured.sessions[-1]["machine"] if measured.sessions else "machine unknown"
    return "\n".join(
        [
            markdown(heads, lines),
            "",
            f"{_who(measured)} [docs/results.md]({page}) has every level, the affine stages, parts, and other tools.",
            f"Measured {_when(measured)}, {machine}.{_beside(measured)}{_so_far(measured)}",
        ]
    )


def _beside(measured: Measured) -> str:
    """A warning where seconds are no measure: pairs ran side by side, or more than one process before ours began."""
    together = max((int(session.get("processes", 1)) for session in measured.sessions), default=1)
    if together > 1:
        return f" {together} pairs were registered at a time, so their seconds are no measure."
    loads = [float(session["load"]) for session in measured.sessions if session["load"] != "unknown"]
    if not loads or max(loads) <= 1.5:
        return ""
    return f" Other work ran beside it (load up to {max(loads):.0f}), so its seconds are no measure."


def _so_far(measured: Measured) -> str:
    """How many pairs are measured, where some are missing."""
    whole = [v for v in measured.vertebrae if v["image"]]
    planned = sum(a["level"] == b["level"] and a["person"] != b["person"] for a in whole for b in whole)
    done = len(good_rows(measured.rows, DEFAULT))
    return "" if done == planned else f" **So far {done} of {planned} pairs are measured.**"


def _who(measured: Measured) -> str:
    people = list(dict.fromkeys(v["person"] for v in measured.vertebrae if v["image"]))
    real = [p for p in people if any(v["kind"] == "real" for v in measured.vertebrae if v["person"] == p)]
    return (
        f"Every ordered pair of the {len(people)} test people at each level that both hold whole: {', '.join(people)}. "
        f"Real CT: {', '.join(real)}; the others are labels with simulated intensities."
    )


def _when(measured: Measured) -> str:
    dates = sorted({session["date"] for session in measured.sessions})
    return " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "at an unknown date"


def _origin(measured: Measured) -> str:
    lines = [[s[name] for name in ("date", "machine", "load", "versions", "commit")] for s in measured.sessions]
    network = measured.plan.networks()[0].made_by()
    heads = ["date", "machine", "load at the start", "versions", "commit"]
    note = f"The model's file: {network}. Seconds are wall time: other work on the machine counts.{_beside(measured)}"
    return f"{markdown(heads, lines)}\n\n{note}\n"


def _people(measured: Measured) -> str:
    """Who holds what: a line a person."""
    lines = []
    for person in dict.fromkeys(v["person"] for v in measured.vertebrae):
        own = {v["level"]: v for v in measured.vertebrae if v["person"] == person}
        cells = [(own[level]["kind"] or "not whole") if level in own else "–" for level in LUMBAR]
        parts = ", ".join(level for level in LUMBAR if level in own and own[level]["parts"])
        lines.append([person, *cells, parts or "–"])
    counts = [str(sum(row["level"] == level for row in good_rows(measured.rows, DEFAULT))) for level in LUMBAR]
    lines.append(["ordered pairs", *counts, ""])
    remarks = {v["person"]: v["notes"] for v in measured.vertebrae if v["kind"] == "real" and v["notes"]}
    notes = "".join(f"\n{person}'s CT: {remark}.\n" for person, remark in remarks.items())
    return markdown(["person", *LUMBAR, "parts"], lines) + "\n" + notes


def _comparison_of_people(measured: Measured) -> str:
    check = measured.check
    if not check["nearest"]:
        return "The bones of the two sides were not compared.\n"
    nearest = check["nearest"][0]
    return (
        f"Nobody stands on both sides ({', '.join(check['levels'])}): {check['compared']} pairs of a test and a "
        "training bone were laid on each other by rigid ICP. The nearest two are "
        f"{nearest['mm']:.2f} mm apart ({nearest['test']} and {nearest['train']}, {nearest['level']}); one person's "
        f"stay below {SAME_PERSON_MM} mm.\n"
    )


def _refined_note(measured: Measured) -> str:
    plan = measured.plan
    text = f"Default: {DEFAULT_STEPS} steps of refinement after the network."
    share = (
        "no simulated pair" if not plan.part else f"{100 * plan.part:g} % of the simulated pairs, drawn at each level"
    )
    if plan.part in (0, 1):
        share = "every simulated pair" if plan.part else "no simulated pair"
    refined = f" and refined (by {plan.steps})" if plan.steps else ""
    return f"{text} Network alone (`--refine 0`){refined}: all real pairs and {share}."


def _parts_section(measured: Measured) -> str:
    if not measured.part_rows:
        return ""
    people = {Path(row[side]).name.rsplit("_", 2)[0] for row in measured.part_rows for side in ("fixed", "moving")}
    tested = {v["person"] for v in measured.vertebrae if v["parts"]}
    pairs = {(row["fixed"], row["moving"]) for row in measured.part_rows}
    text = (
        f"## Parts\n\nPairs with parts on both sides: {len(pairs)} ordered pairs of {', '.join(sorted(people))}. "
        "The moving parts are taken at the nearest neighbour on the fixed map's grid. "
    )
    if people - tested:
        text += f"Only {', '.join(sorted(tested))} is a test person: the other side is a training person's.\n"
    for kind in KINDS:
        chosen = [row for row in measured.part_rows if not row["fault"] and row["kind"] == kind]
        if chosen:
            text += f"\n{KINDS[kind].capitalize()}:\n\n{anatomy_table(summarise(chosen))}\n"
            text += f"\nMean of parts after the affine: {_affine_parts(chosen)}.\n"
    return text


def _affine_parts(rows: Sequence[Row]) -> str:
    numbers = summarise([row for row in rows if row["method"] == DEFAULT] or rows)
    (levels,) = list(numbers.values())[:1]
    every = levels["all"]
    return f"Dice {every['dice_parts_affine']['mean']:.3f}, centres {every['centre_mm_parts_affine']['mean']:.2f} mm"


def _others_section(measured: Measured) -> str:
    others = [method.name for method in measured.plan.others]
    text = ""
    for kind, what in KINDS.items():
        common = [row for row in measured.rows if row["kind"] == kind and not row["fault"]]
        for name in others:
            common = same_pairs(common, good_rows(common, name))
        if others and common:
            text += f"\nPairs of {what}:\n\n{comparison(summarise(common))}\n"
    return f"## Other tools on the same pairs\n{text}" if text else ""


def _differences(measured: Measured) -> str:
    """Each other method against the default, on the pairs of two real CTs that both have."""
    first = good_rows(measured.rows, DEFAULT, "real")
    names = [method.name for method in (*measured.plan.networks(), *measured.plan.others) if method.name != DEFAULT]
    tests = [test for name in names for test in compare(good_rows(measured.rows, name, "real"), first)]
    if not tests:
        return ""
    return f"## Differences, pairs of two real CTs\n\n{comparison_markdown(tests)}\n\n{TESTS_NOTE}\n"


def _worst(rows: Sequence[Row]) -> str:
    worst = sorted(good_rows(rows, DEFAULT), key=lambda row: row["dice_deformable"])[:8]
    lines = [
        [
            row["level"],
            *(Path(row[side]).name.rsplit("_", 2)[0] for side in ("fixed", "moving")),
            row["kind"],
            *(f"{row[name]:.3f}" for name in ("dice_affine", "dice_deformable", "assd_mm_deformable")),
        ]
        for row in worst
    ]
    return markdown(["level", "fixed", "moving", "kind", "Dice affine", "Dice default", "ASSD mm"], lines) + "\n"


def _faults(rows: Sequence[Row]) -> str:
    faults = [row for row in rows if row["fault"]]
    return "".join(f"- {row['method']}, {Path(row['fixed']).name}: {row['fault']}\n" for row in faults)
