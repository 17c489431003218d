"""Tables for papers: LaTeX that is well-formed, files that hold the same numbers, boxes where the numbers are."""

import csv
import re

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.boxes import box_figure
from acsgreg_tf.evaluation.latex import from_markdown, latex_table
from acsgreg_tf.evaluation.paper_tables import write_paper_tables
from acsgreg_tf.evaluation.tables import markdown
from tests.evaluation.test_tables import row_of


def rows(methods=("net", "a_tool")):
    made = []
    for number, method in enumerate(methods):
        for level in ("L1", "L2"):
            for person in range(4):
                one = row_of(method, level, 0.9 - 0.1 * number + 0.01 * person)
                made.append(one | {"fixed": f"p{person}-{level}_ct.nii.gz", "moving": "m", "label": ""})
    return made


def test_latex_says_what_markdown_says():
    table = markdown(["", "folds %", "p"], [["a_b ± 1 & c", "0.1 ± 0.2", "< 0.001"], ["d", "–", "−1"]])
    text = from_markdown(table, "Folds in %.", "tab:x")
    assert r"a\_b $\pm$ 1 \& c & 0.1 $\pm$ 0.2 & $<$ 0.001 \\" in text and r"d & -- & $-$1 \\" in text
    assert r"\begin{tabular}{lrr}" in text and r" & folds \% & p \\" in text and r"\caption{Folds in \%.}" in text
    assert text == latex_table(
        ["", "folds %", "p"], [["a_b ± 1 & c", "0.1 ± 0.2", "< 0.001"], ["d", "–", "−1"]], "Folds in %.", "tab:x"
    )
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]


def test_the_files_of_two_methods(tmp_path):
    files = write_paper_tables(rows(), tmp_path / "paper")
    assert [path.name for path in files] == ["tables.md", "tables.tex", "levels.csv", "tests.csv", "boxes.png"]
    text = (tmp_path / "paper" / "tables.md").read_text(encoding="utf-8")
    assert "## net" in text and "a_tool − net" in text and "-0.100" in text
    latex = (tmp_path / "paper" / "tables.tex").read_text(encoding="utf-8")
    assert latex.count(r"\begin{table}") == 4 and "±" not in latex and re.search(r"(?<!\\)_", latex) is None
    with open(tmp_path / "paper" / "levels.csv", newline="", encoding="utf-8") as file:
        (line,) = [
            line
            for line in csv.DictReader(file)
            if (line["method"], line["level"], line["measure"]) == ("net", "L1", "dice_deformable")
        ]
    assert float(line["mean"]) == pytest.approx(0.915) and line["pairs"] == "4"
    assert float(line["std"]) == pytest.approx(np.std([0, 0.01, 0.02, 0.03], ddof=1))
    with open(tmp_path / "paper" / "tests.csv", newline="", encoding="utf-8") as file:
        test = next(csv.DictReader(file))
    assert (test["method"], test["measure"], test["people"]) == ("a_tool", "dice_deformable", "4")
    assert float(test["difference"]) == pytest.approx(-0.1)


def test_one_method_has_nothing_to_be_tested_against(tmp_path):
    files = write_paper_tables(rows(("net",)), tmp_path)
    assert "tests.csv" not in [path.name for path in files]
    with pytest.raises(InputError, match="without a fault"):
        write_paper_tables([row_of("net", "L1", 0, "gone")], tmp_path)


def test_boxes_lie_where_the_numbers_are():
    by_method = {method: [row for row in rows() if row["method"] == method] for method in ("net", "a_tool")}
    ax = box_figure(by_method, ("dice_deformable",)).axes[0]
    boxes = [patch.get_path().vertices[:5] for patch in ax.patches]
    assert len(boxes) == 4  # two methods, two levels
    for box, method in zip(boxes, ("net", "net", "a_tool", "a_tool"), strict=True):
        values = [row["dice_deformable"] for row in by_method[method] if row["level"] == "L1"]
        low, high = np.percentile(values, (25, 75))
        assert (box[:, 1].min(), box[:, 1].max()) == (pytest.approx(low), pytest.approx(high))
    assert boxes[0][:, 0].mean() < boxes[2][:, 0].mean() < boxes[1][:, 0].mean()
