"""Print a script that makes a shell complete acsgreg's commands and options (bash, zsh or tcsh)."""

import argparse
from collections.abc import Sequence

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError

SHELLS = ("bash", "zsh", "tcsh")

_EXAMPLES = """bash: now, and in every new shell
  source <(acsgreg completion bash)
  acsgreg completion bash > ~/.local/share/bash-completion/completions/acsgreg
zsh: a folder of $fpath
  acsgreg completion zsh > ~/.zfunc/_acsgreg
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_print, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("completion", __doc__, _EXAMPLES)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def _print(options: argparse.Namespace) -> None:
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise InputError("completion needs the package shtab: pip install shtab") from error
    print(shtab.complete(whole_parser(), options.shell))


def whole_parser() -> argparse.ArgumentParser:
    """One parser with every command as its subparser, whose options that take a value take a file's name.

    shtab completes choices where there are any, so the others are files, or numbers that nobody completes.
    """
    import shtab

    from acsgreg_tf.cli.main import COMMANDS, module_of

    whole = argparse.ArgumentParser(prog="acsgreg")
    commands = whole.add_subparsers()
    for name, what in COMMANDS.items():
        own = module_of(name).parser()
        child = commands.add_parser(name, parents=[own], add_help=False, help=what)
        for action in child._actions:
            if action.nargs != 0 and action.choices is None and action.type is None:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return whole
