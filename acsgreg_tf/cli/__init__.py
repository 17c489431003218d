"""Command lines: argparse, progress, printing and exit codes."""

import sys
from types import TracebackType

_hook = sys.excepthook


def _say_stopped(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Before `common.run` answers for a command, Ctrl-C and a package that is not installed are one line too."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("acsgreg_tf"):
        print(
            f"error: the package {error.name.split('.')[0]} is not installed for {sys.executable}: activate the "
            "environment (source .venv/bin/activate, which make demo makes), or pip install the package acsgreg_tf",
            file=sys.stderr,
        )
        raise SystemExit(2)
    else:
        _hook(kind, error, traceback)


sys.excepthook = _say_stopped
