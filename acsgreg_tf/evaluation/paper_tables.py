"""A folder of tables that a paper can take: Markdown, CSV and LaTeX, paired tests, and a box plot."""

import os
from collections.abc import Sequence
from pathlib import Path

from acsgreg_tf.evaluation.boxes import box_figure
from acsgreg_tf.evaluation.latex import from_markdown, latex_table
from acsgreg_tf.evaluation.measures import NUMBERS
from acsgreg_tf.evaluation.paired import COMPARISON_HEADS, Comparison, compare, comparison_cells, comparison_markdown
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.tables import comparison, method_table, summarise
from acsgreg_tf.io.files import write_text
from acsgreg_tf.io.tables import write_table
from acsgreg_tf.io.work_folder import make_folder
from acsgreg_tf.registration.drawing import save_figure

__all__ = ["TESTS_NOTE", "write_paper_tables"]

TESTS_NOTE = (
    "Differences are means over people (each one's mean over the pairs in which they are the fixed one), with a 95 % "
    "interval by Student's t and p by Wilcoxon's signed-rank test over people, two-sided, not corrected for several "
    "comparisons."
)


def write_paper_tables(rows: Sequence[Row], folder: str | os.PathLike) -> list[Path]:
    """Write `tables.md` and `tables.tex` (all tables), `levels.csv`, `tests.csv` and `boxes.png`.

    Each method has a table by level, mean ± standard deviation; several methods are compared with each other, and
    tested against the first.

    Args:
        rows: As `evaluation.evaluate` returns them, of one method or several.
        folder: Made if it is not there.

    Returns:
        The files.

    Raises:
        InputError: No pair without a fault; the folder cannot be written.
    """
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    figure = box_figure(by_method)
    out, summary = make_folder(folder), summarise(rows)
    first, *others = by_method
    tests = [test for other in others for test in compare(by_method[other], by_method[first])]
    texts, latex = [], []
    for number, (method, levels) in enumerate(summary.items(), start=1):
        table = method_table(levels)
        texts.append(f"## {method}\n\n{table}")
        latex.append(from_markdown(table, f"{method}: mean ± standard deviation over pairs.", f"tab:method{number}"))
    if others:
        table = comparison(summary)
        texts.append(f"## All methods, all pairs\n\n{table}")
        latex.append(from_markdown(table, "All methods: mean ± standard deviation over all pairs.", "tab:methods"))
        texts.append(f"## Differences\n\n{comparison_markdown(tests)}\n\n{TESTS_NOTE}")
        latex.append(latex_table(COMPARISON_HEADS, comparison_cells(tests), TESTS_NOTE, "tab:tests"))
        write_table(out / "tests.csv", Comparison._fields, [test._asdict() for test in tests])
    texts.append("## By level\n\n![boxes](boxes.png)")
    write_text(out / "tables.md", "\n\n".join(texts) + "\n")
    write_text(out / "tables.tex", "\n".join(latex))
    columns = ("method", "level", "pairs", "failed", "measure", "mean", "std", "worst")
    write_table(out / "levels.csv", columns, _long(summary))
    save_figure(figure, out / "boxes.png")
    names = ("tables.md", "tables.tex", "levels.csv", *(["tests.csv"] if others else []), "boxes.png")
    return [out / name for name in names]


def _long(summary: dict) -> list[dict]:
    """A line for each method, level and measure that is known."""
    lines = []
    for method, levels in summary.items():
        for level, numbers in levels.items():
            for name in NUMBERS:
                if numbers[name]["mean"] == numbers[name]["mean"]:  # not NaN
                    line = {"method": method, "level": level, "measure": name, **numbers[name]}
                    lines.append(line | {what: numbers[what] for what in ("pairs", "failed")})
    return lines
