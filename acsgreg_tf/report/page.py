"""The page of one registration, or of several levels: text, style, script and data in one HTML file."""

import html
import json
import os
import platform
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import acsgreg_tf
from acsgreg_tf.io.files import plain, write_text
from acsgreg_tf.report import surface
from acsgreg_tf.report.measures import extra_lines, lines_of, stage_of
from acsgreg_tf.report.niivue import read_niivue
from acsgreg_tf.report.section import Section
from acsgreg_tf.report.usual import usual
from acsgreg_tf.report.volumes import encoded

__all__ = ["asset", "as_data", "table", "versions", "write_report"]

_VERSIONS = ("keras", "tensorflow", "jax", "torch", "numpy", "scipy", "SimpleITK", "nibabel")


def write_report(path: str | os.PathLike, sections: Sequence[Section], command: str = "") -> None:
    """Write the page; whole or not at all.

    Args:
        path: Of the HTML file.
        sections: One registration, or a level each.
        command: That repeats it.

    Raises:
        InputError: As `niivue.read_niivue`, or the place cannot be written.
    """
    niivue = read_niivue()
    names = [section.name or "registration" for section in sections]
    tabs = "".join(f'<button class="tab" data-section="{i}">{html.escape(n)}</button>' for i, n in enumerate(names))
    first = sections[0].summary
    pair = f"{os.path.basename(first['moving'])} to {os.path.basename(first['fixed'])}"
    parts = {
        "TITLE": html.escape(pair),
        "STYLE": asset("page.css"),
        "TABS": tabs if len(sections) > 1 else "",
        "VERDICTS": "\n".join(_verdict(i, section) for i, section in enumerate(sections)),
        "MEASURES": "\n".join(_measures(i, section) for i, section in enumerate(sections)),
        "COMMAND": html.escape(command or "not recorded"),
        "VERSIONS": html.escape(f"{versions()}, {niivue.version}"),
        "MOST_MM": f"{surface.MOST_MM:g}",
        "DISTANCE_COLOURS": ", ".join(_css_colours()),
        "LICENCE": html.escape(niivue.licence),
        "DATA": _summaries(sections) + "\n".join(_data(i, section) for i, section in enumerate(sections)),
        "NIIVUE": niivue.script,
        "SCRIPT": asset("page.js"),
    }
    write_text(path, filled(asset("page.html"), parts))


def filled(template: str, parts: dict[str, str]) -> str:
    """A template with each %%NAME%% replaced, in one pass, so that what is put in is not looked at again."""
    pieces = template.split("%%")
    return "".join(piece if i % 2 == 0 else parts[piece] for i, piece in enumerate(pieces))


def asset(name: str) -> str:
    """A file of this room's folder `assets`."""
    return (files("acsgreg_tf.report") / "assets" / name).read_text(encoding="utf-8")


def as_data(content: Any) -> str:
    """JSON that may stand in a page's script: no character of it can end the script."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def versions() -> str:
    """The versions of this package, Python and the packages that a registration runs on, in words."""
    from importlib.metadata import PackageNotFoundError, version

    words = [f"acsgreg_tf {acsgreg_tf.__version__}", f"Python {platform.python_version()}"]
    for package in _VERSIONS:
        try:
            words.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(words)


def _css_colours() -> list[str]:
    colours = surface.colours_of([surface.MOST_MM * i / 8 for i in range(9)])
    return [f"rgb({r} {g} {b})" for r, g, b, _ in colours]


def _summaries(sections: Sequence[Section]) -> str:
    """What a table of many registrations takes from the page (`index.read_entries`)."""
    content = [{"summary": plain(section.summary), "picture": encoded(section.picture)} for section in sections]
    return f'<script type="application/json" id="summaries">{as_data(content)}</script>\n'


def _data(number: int, section: Section) -> str:
    content = {"volumes": encoded(section.volumes), "meshes": encoded(section.meshes), "field": section.field}
    content |= {"start": section.start}
    return f'<script type="application/json" id="data-{number}">{as_data(content)}</script>'


def _verdict(number: int, section: Section) -> str:
    """Doubts and warnings in words."""
    flags = [flag["text"] for flag in section.summary.get("flags", [])]
    verdict = f"{len(flags)} doubt{'s' * (len(flags) != 1)}" if flags else "No doubt was raised."
    listed = "".join(f"<li>{html.escape(text)}</li>" for text in [*flags, *section.summary.get("warnings", [])])
    return f"""<section data-section="{number}" class="verdict {"doubtful" if flags else "fine"}">
<strong>{verdict}</strong>{f"<ul>{listed}</ul>" if listed else ""}</section>"""


def _measures(number: int, section: Section) -> str:
    """The tables of one registration."""
    summary, stage, told = section.summary, stage_of(section.summary), usual()
    lines = lines_of(summary)
    rows = [(line.name, *line.values, line.usual, line.remark) for line in lines]
    heads = ("", "before", "affine", "this result", f"usual ({stage})", "")
    marks = ["odd" if line.remark.startswith(("worse", "there")) else "" for line in lines]
    inputs = [*section.inputs, ("network", str(summary.get("model", "")))]
    return f"""<section data-section="{number}">
<h2>Measures{f", {html.escape(section.name)}" if section.name else ""}</h2>
{table(heads, rows, marks)}
<p class="note">Usual: mean ± standard deviation over {told["pairs"]} {html.escape(told["kind"])}, {told["measured"]}
(docs/results.md). Worse than usual: worse than the mean of their worst tenth, or than the mean by 3 standard
deviations.</p>
{table(("", ""), extra_lines(summary))}
<h2>Inputs</h2>
{table(("", ""), inputs)}
</section>"""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """An HTML table of plain text; each row may have a class."""
    marks = [*classes, *[""] * (len(rows) - len(classes))]
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    head = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    body = "".join(
        f'<tr class="{mark}">' + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
        for row, mark in zip(rows, marks, strict=True)
    )
    return f"<table>{head}<tbody>{body}</tbody></table>"
