"""Make one page of many registrations: a table that can be sorted, the worst first, with pictures and links.

It reads what register.py wrote: metrics (with a picture and a page of the same name beside them, X.json, X.png and
X.html) and reports."""

import argparse
from collections.abc import Sequence

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of

_EXAMPLES = """of all metrics of a folder, with the pictures and pages of the same names beside them
  acsgreg report --metrics out/*.json --out out/index.html
of pages, a line for each of their levels
  acsgreg report --reports out/*_page.html --out out/index.html --title "Follow-up"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    options = parser()
    options.set_defaults(command=common.command_line("report", arguments))
    return common.run(_report, options, arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("report", __doc__, _EXAMPLES)
    parser.add_argument("--metrics", nargs="+", default=[], metavar="JSON", help="files of register.py --metrics")
    parser.add_argument("--reports", nargs="+", default=[], metavar="HTML", help="pages of register.py --report")
    parser.add_argument("--out", required=True, metavar="HTML", help="the page to write")
    parser.add_argument("--title", default="Registrations", help="its heading (default: %(default)s)")
    return parser


def _report(options: argparse.Namespace) -> None:
    files = [*options.metrics, *options.reports]
    if not files:
        raise InputError("--metrics: name some files of register.py --metrics, or --reports")
    if ending_of(options.out) not in (".html", ".htm"):
        raise InputError(f"{options.out}: --out must end in .html")
    for path in options.reports:
        if ending_of(path) not in (".html", ".htm"):
            raise InputError(f"{path}: --reports takes pages (.html); --metrics takes .json")
    common.check_outputs({"--out": options.out}, files)
    from acsgreg_tf.report import read_entries, write_index

    entries = read_entries(files, options.out)
    write_index(options.out, entries, options.title, options.command)
    print(f"wrote {options.out}: {len(entries)} registration{'s' * (len(entries) != 1)}")
