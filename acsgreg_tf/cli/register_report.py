"""The option --report of register.py: a page for the browser of one registration, or of several levels."""

from argparse import Namespace, _ArgumentGroup
from collections.abc import Iterable

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.registration import Result, Scan

__all__ = ["Report", "add_option"]


def add_option(group: _ArgumentGroup) -> None:
    """Add --report to the group of outputs."""
    group.add_argument(
        "--report",
        metavar="OUT.html",
        help="page for a browser that opens offline: both CTs on each other, surfaces, deformation and measures; with "
        "--levels all levels in one (needs the extra: pip install '.[report]' from a clone)",
    )


class Report:
    """Collects what the page shows, a registration at a time; does nothing where no page is asked for.

    Args:
        options: The parsed command line.
        inputs: Files that it must not replace.

    Raises:
        InputError: The page cannot be written, or a package that it needs is missing.
    """

    def __init__(self, options: Namespace, inputs: Iterable[str | None]) -> None:
        self.path: str | None = options.report
        self.command: str = getattr(options, "command", "")
        self.sections: list = []
        if self.path is None:
            return
        if ending_of(self.path) not in (".html", ".htm"):
            raise InputError(f"{self.path}: --report must end in .html")
        common.check_outputs({"--report": self.path}, inputs)
        from acsgreg_tf.report import check_niivue

        check_niivue()

    def add(self, result: Result, fixed: Scan, moving: Scan, level: str | None) -> None:
        """Take what the page shows of one registration."""
        if self.path is not None:
            from acsgreg_tf.report import section_of

            self.sections.append(section_of(result, fixed, moving, level or ""))

    def write(self) -> None:
        """Write the page of what was collected."""
        if self.path is not None and self.sections:
            from acsgreg_tf.report import write_report

            write_report(self.path, self.sections, self.command)
