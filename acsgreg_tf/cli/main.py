"""`acsgreg`: all commands under one name."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError

# Name, what it does. A command's module is imported when it is run; its name has _ for -.
COMMANDS = {
    "register": "register two vertebrae, or two scans level by level",
    "report": "make one page of many registrations, the worst first",
    "warp": "carry an image, a label map, points or a surface over with a transform",
    "measure": "measure a transform, or a label map that another tool moved",
    "test": "measure networks and other tools on a list of pairs",
    "prepare": "crop the vertebrae of CTs with label maps",
    "generate": "make a cohort of generated vertebrae",
    "check-people": "find people who stand in two lists",
    "train": "train a network",
    "test-set": "build a test set from a table of people",
    "results": "measure the test set and write the results page",
    "studies": "repeat the paper's studies",
    "doctor": "say whether this installation works, and what it found",
    "completion": "print what makes a shell complete commands and options",
}
_OWN_OPTIONS = ("-q", "--quiet", "-v", "--verbose")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    first = 0
    while first < len(words) and words[first] in _OWN_OPTIONS:  # acsgreg -q register ...
        first += 1
    if first < len(words) and words[first] in COMMANDS:
        return module_of(words[first]).main([*words[:first], *words[first + 1 :]])
    own = _parser()
    if not words:
        own.print_help()
        return 2
    return common.run(lambda options: _choose(options.command), own, words)


def module_of(command: str) -> Any:
    """The module of a command, imported; it has `main` and `parser`."""
    return import_module(f"acsgreg_tf.cli.{command.replace('-', '_')}")


def _choose(command: str | None) -> None:
    if command is None:
        raise InputError("a command is needed, such as register (see acsgreg --help)")
    near = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else " (see acsgreg --help)"
    raise InputError(f"{command}: there is no such command{hint}")


def _parser() -> common.Parser:
    table = "\n".join(f"  {name:14}{what}" for name, what in COMMANDS.items())
    parser = common.Parser(
        "",
        "Registers lumbar vertebrae in CT.\n\n"
        f"commands:\n{table}\n\nacsgreg COMMAND --help explains each, with examples.",
    )
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of them, and its options")
    return parser
