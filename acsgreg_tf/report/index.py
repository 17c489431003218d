"""The page of many registrations: a table that can be sorted, with a thumbnail each, the worst first."""

import base64
import html
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line, write_text
from acsgreg_tf.report.measures import stage_of
from acsgreg_tf.report.page import asset, filled, versions
from acsgreg_tf.report.usual import is_worse

__all__ = ["Entry", "read_entries", "worst_first", "write_index"]

_WIDTH = 330  # pixels of a thumbnail
_SUMMARIES = re.compile(r'<script type="application/json" id="summaries">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        name: What names it, such as the file of its metrics.
        summary: As `register.py --metrics` writes it; {} for a registration that failed.
        picture: A PNG, or None.
        link: The registration's own page, as the table links it, or "".
        fault: Why it failed, or "".
    """

    name: str
    summary: Mapping[str, Any]
    picture: bytes | None = None
    link: str = ""
    fault: str = ""


def write_index(
    path: str | os.PathLike, entries: Iterable[Entry], title: str = "Registrations", command: str = ""
) -> None:
    """Write the page; whole or not at all.

    Args:
        path: Of the HTML file.
        entries: In any order.
        title: Its heading.
        command: That repeats it.

    Raises:
        InputError: There is no entry, or the place cannot be written.
    """
    ordered = worst_first(entries)
    if not ordered:
        raise InputError(f"{path}: there is no registration to show")
    heads = [("", ""), ("level", "text"), ("registration", "text"), *((name, "number") for name, *_ in _COLUMNS)]
    heads += [("doubts", "number"), ("", "")]
    head = "".join(f"<th{f' data-sort={kind}' if kind else ''}>{html.escape(name)}</th>" for name, kind in heads)
    doubtful = sum(bool(entry.fault or entry.summary.get("flags")) for entry in ordered)
    parts = {
        "TITLE": html.escape(title),
        "STYLE": asset("page.css"),
        "COUNT": f"{len(ordered)} registration{'s' * (len(ordered) != 1)}, {doubtful} of them doubtful or failed",
        "TABLE": f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, ordered))}</tbody></table>",
        "COMMAND": html.escape(command or "not recorded"),
        "VERSIONS": html.escape(versions()),
        "SCRIPT": asset("index.js"),
    }
    write_text(path, filled(asset("index.html"), parts))


# Heading, where the number stands in a summary, digits.
_COLUMNS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("Dice before", ("dice", "before"), 3),
    ("Dice affine", ("dice", "affine"), 3),
    ("Dice", ("dice", "deformable"), 3),
    ("ASSD mm", ("assd_mm", "deformable"), 3),
    ("LNCC", ("lncc", "deformable"), 3),
    ("folds", ("folds", "count"), 0),
    ("inverse error, largest mm", ("inverse_error_max_mm",), 2),
    ("s", ("seconds", "total"), 1),
)


def worst_first(entries: Iterable[Entry]) -> list[Entry]:
    """Failed ones, then those with doubts, then the rest; among each the lowest Dice, or else LNCC, first."""

    def badness(entry: Entry) -> tuple:
        dice = _number(entry.summary, ("dice", "deformable"))
        lncc = _number(entry.summary, ("lncc", "deformable"))
        known = [value if value is not None else math.inf for value in (dice, lncc)]
        return (not entry.fault, not entry.summary.get("flags"), *known, entry.name)

    return sorted(entries, key=badness)


def _number(summary: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = summary
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _row(entry: Entry) -> str:
    summary = entry.summary
    picture = ""
    if entry.picture is not None:
        data = base64.b64encode(entry.picture).decode("ascii")
        picture = f'<img alt="{html.escape(entry.name)}" width="{_WIDTH * 4 // 5}" src="data:image/png;base64,{data}">'
    sides = [os.path.basename(str(summary.get(side, ""))) for side in ("moving", "fixed")]
    pair = f"{sides[0]} to {sides[1]}" if all(sides) else entry.name
    name = f'<a href="{html.escape(entry.link)}">{html.escape(pair)}</a>' if entry.link else html.escape(pair)
    cells = [f"<td>{picture}</td><td>{html.escape(str(summary.get('level') or ''))}</td><td>{name}</td>"]
    stage = stage_of(summary)
    for _, keys, digits in _COLUMNS:
        value = _number(summary, keys)
        measure = keys[0] if keys[-1] in ("deformable", keys[0]) else ""
        odd = (
            ' class="bad"'
            if value is not None and (is_worse(stage, measure, value) or (keys[0] == "folds" and value))
            else ""
        )
        text = "–" if value is None else f"{value:.{digits}f}"
        cells.append(f'<td{odd} data-value="{"" if value is None else value}">{text}</td>')
    doubts = [entry.fault] if entry.fault else [flag["text"] for flag in summary.get("flags", [])]
    cells.append(f'<td data-value="{len(doubts)}">{len(doubts) or ""}</td>')
    cells.append(f"<td>{'<br>'.join(html.escape(text) for text in doubts)}</td>")
    return f'<tr class="{"odd" if doubts else ""}">{"".join(cells)}</tr>'


def read_entries(paths: Iterable[str | os.PathLike], out: str | os.PathLike) -> list[Entry]:
    """Entries from files of `register.py`: metrics (.json) and reports (.html, an entry a level).

    A metrics file's picture and page are the .png and the .html of its name beside it, where they are there.

    Args:
        paths: The files.
        out: The page that will hold them, from which links go.

    Raises:
        InputError: A file cannot be read, or is neither.
    """
    folder = Path(out).resolve().parent
    entries = []
    for path in map(Path, paths):
        link = os.path.relpath(path.resolve(), folder)
        if path.suffix.lower() in (".html", ".htm"):
            entries += [Entry(path.stem, summary, picture, link) for summary, picture in _summaries(path)]
            continue
        page, picture = path.with_suffix(".html"), path.with_suffix(".png")
        link = (
            os.path.relpath(page.resolve(), folder) if page.is_file() and page.resolve() != Path(out).resolve() else ""
        )
        entries.append(Entry(path.stem, _metrics(path), _small(picture) if picture.is_file() else None, link))
    return entries


def _summaries(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    """Of each registration that a report shows: its metrics and its picture."""
    found = _SUMMARIES.search(_text(path, "a report"))
    if found is None:
        raise InputError(f"{path}: is no report of register.py --report")
    try:
        return [(one["summary"], base64.b64decode(one["picture"], validate=True)) for one in json.loads(found[1])]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: a damaged report ({one_line(error)})") from error


def _metrics(path: Path) -> dict[str, Any]:
    text = _text(path, "metrics")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as metrics ({one_line(error)})") from error
    if not isinstance(content, dict) or not {"fixed", "moving"} <= set(content):
        raise InputError(f"{path}: is no metrics file of register.py, it names no fixed and moving image")
    return content


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as {what} ({error.__class__.__name__})") from error


def _small(path: Path) -> bytes:
    """A picture as a thumbnail, PNG."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((2 * _WIDTH, 2 * _WIDTH))
            file = io.BytesIO()
            image.convert("RGB").save(file, "PNG", optimize=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({one_line(error)})") from error
    return file.getvalue()
