"""Command lines: argparse, progress, printing and exit codes."""

import sys
from types import TracebackType

_hook = sys.excepthook


def _say_stopped(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Ctrl-C while a command is still being imported, before `common.run` answers for it, is one line too."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    else:
        _hook(kind, error, traceback)


sys.excepthook = _say_stopped
