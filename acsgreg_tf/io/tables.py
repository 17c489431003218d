"""CSV tables and lists with an entry a line; faults are named by file and line."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path, one_line

__all__ = ["Row", "is_label_number", "read_lines", "read_table", "write_table"]


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        where: The file and the line, as messages begin.
        cells: {column: text without surrounding blanks}, "" where there is none.
    """

    where: str
    cells: dict[str, str]


def read_table(path: str | os.PathLike, columns: Iterable[str], what: str) -> list[Row]:
    """Read a CSV file with a header line, UTF-8 with or without a byte order mark.

    The csv module rather than pandas, since it knows the line that a row stands on, which messages name.

    Args:
        path: The file.
        columns: Those that it must have; others may follow.
        what: What the file should be, for messages: "a manifest".

    Returns:
        Its rows; empty lines are skipped.

    Raises:
        InputError: The file cannot be read or lacks a column.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [
                Row(
                    f"{path}, line {reader.line_num}",
                    {name: (cell or "").strip() for name, cell in row.items() if name},
                )
                for row in reader
            ]
            names = reader.fieldnames or ()
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as {what} ({one_line(error)})") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as {what} ({error.__class__.__name__})") from error
    for row in rows:
        if any("\0" in cell for cell in row.cells.values()):
            raise InputError(f"{row.where}: holds a NUL character, so it is not {what}")
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}, so it is not {what}")
    return rows


def is_label_number(text: str) -> bool:
    """Whether a text is a label's number in a label map: a positive whole number that fits into 32 bits."""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def write_table(path: str | os.PathLike, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header line; whole or not at all.

    Args:
        path: The file.
        columns: The order of the columns.
        rows: {column: value} for each row, with no other columns; a missing value becomes an empty cell.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def with_added(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns, and behind them those that only rows have: a user added them."""
    return list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))


def read_lines(path: str | os.PathLike) -> list[str]:
    """Read the lines of a text file without surrounding blanks; empty lines are skipped.

    Raises:
        InputError: The file cannot be read or has no such line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list ({error.__class__.__name__})") from error
    lines = [line.strip() for line in lines if line.strip()]
    if any("\0" in line for line in lines):
        raise InputError(f"{path}: holds a NUL character, so it is no list")
    if not lines:
        raise InputError(f"{path}: an empty list")
    return lines
