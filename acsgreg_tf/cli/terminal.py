"""What a command shows: how much (-q, -v), in which colours, and the bars of what lasts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import Enum
from typing import Any, TextIO

from tqdm import tqdm

_CODES = {"error": "31;1", "warning": "33;1"}


class Verbosity(Enum):
    """How much a command prints."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


_verbosity = Verbosity.NORMAL


@contextmanager
def showing(verbosity: Verbosity) -> Iterator[None]:
    """Within the block a command prints as much as `verbosity` says; quiet is warnings and errors only."""
    global _verbosity
    previous, _verbosity = _verbosity, verbosity
    try:
        if verbosity is Verbosity.QUIET:
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
                yield
        else:
            yield
    finally:
        _verbosity = previous


def is_quiet() -> bool:
    """Whether the command was given -q."""
    return _verbosity is Verbosity.QUIET


def is_verbose() -> bool:
    """Whether the command was given -v."""
    return _verbosity is Verbosity.VERBOSE


def label(word: str, stream: TextIO) -> str:
    """The word that a line starts with, "error:" or "warning:", coloured where a person looks at the stream.

    NO_COLOR (https://no-color.org) and TERM=dumb switch colours off.
    """
    plain = f"{word}:"
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return plain
    return f"\033[{_CODES[word]}m{plain}\033[0m"


def hides_bars() -> bool | None:
    """tqdm's `disable`: True with -q, else None, which shows bars on a terminal only."""
    return True if is_quiet() else None


def bar(total: int, unit: str) -> tqdm:
    """A progress bar on a terminal; elsewhere, and with -q, nothing."""
    return tqdm(total=total, unit=unit, disable=hides_bars(), leave=False)


class Steps:
    """One live line on a terminal that names the step at work; elsewhere, and with -q, nothing.

    Args:
        total: Steps that there will be.
    """

    def __init__(self, total: int) -> None:
        line = "{percentage:3.0f}% {bar:20} {elapsed} {desc}"
        self._bar = tqdm(total=total, bar_format=line, leave=False, disable=hides_bars())
        self._begun = False

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()

    def __call__(self, name: str) -> None:
        """Begin a step; the one before it is done."""
        if self._begun:
            self._bar.update()
        self._begun = True
        self._bar.set_description_str(name)
