"""Tables in LaTeX, of the same cells as those in Markdown; they need the package booktabs."""

from collections.abc import Iterable, Sequence

__all__ = ["escaped", "from_markdown", "latex_table"]

_CHARACTERS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "φ": r"$\varphi$",
}


def escaped(text: str) -> str:
    """Text as LaTeX prints it.

    >>> print(escaped("folds % 0.1 ± 0.2, a_b"))
    folds \\% 0.1 $\\pm$ 0.2, a\\_b
    """
    return "".join(_CHARACTERS.get(character, character) for character in text)


def latex_table(heads: Sequence[str], lines: Iterable[Sequence[str]], caption: str, label: str) -> str:
    """A floating table: the first column to the left, the others to the right.

    Args:
        heads: Headings, plain text.
        lines: Cells, plain text.
        caption: Plain text.
        label: For \\ref.
    """
    columns = "l" + "r" * (len(heads) - 1)
    body = [" & ".join(map(escaped, cells)) + r" \\" for cells in lines]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(escaped, heads)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def from_markdown(table: str, caption: str, label: str) -> str:
    """A table that `tables.markdown` made, in LaTeX; arguments as `latex_table`."""
    lines = [line.strip().removeprefix("|").removesuffix("|") for line in table.strip().splitlines()]
    heads, _, *cells = ([cell.strip() for cell in line.split("|")] for line in lines)
    return latex_table(heads, cells, caption, label)
