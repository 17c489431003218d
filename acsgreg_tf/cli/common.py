"""What all command lines share: one-line errors and warnings, checks of outputs, and the backend's quiet start."""

import argparse
import os
import re
import shlex
import sys
import tempfile
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from tqdm import tqdm

from acsgreg_tf import __version__
from acsgreg_tf.cli import terminal
from acsgreg_tf.cli.terminal import Verbosity
from acsgreg_tf.errors import InputError
from acsgreg_tf.io import files
from acsgreg_tf.io.files import check_writable, one_line

# Exit code of a command that did its work and doubts the result.
DOUBT = 3

# Where a thread's warnings go while they are held.
_held = threading.local()


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the options that all commands share, whose errors are InputErrors, for `run` to print.

    Args:
        command: "register" of `acsgreg register`; "" for `acsgreg` itself.
        description: What the command does.
        examples: Command lines that its help ends with, one or more lines each.
    """

    def __init__(self, command: str, description: str | None = None, examples: str = "") -> None:
        super().__init__(
            prog=_program(command),
            description=description,
            epilog=f"examples:\n{textwrap.indent(examples, '  ')}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.examples = examples
        general = self.add_argument_group("general")
        general.add_argument("-h", "--help", action="help", help="show this and exit")
        general.add_argument(
            "--version", action="version", version=f"acsgreg_tf {__version__}", help="show it and exit"
        )
        how_much = general.add_mutually_exclusive_group()
        how_much.add_argument(
            "-q",
            "--quiet",
            dest="verbosity",
            action="store_const",
            const=Verbosity.QUIET,
            help="warnings and errors only",
        )
        how_much.add_argument(
            "-v",
            "--verbose",
            dest="verbosity",
            action="store_const",
            const=Verbosity.VERBOSE,
            help="also what libraries print, and where an error comes from",
        )
        self.set_defaults(verbosity=Verbosity.NORMAL)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _program(command: str) -> str:
    """The command's name as it was typed: acsgreg register, acsgreg-register or register.py."""
    typed = Path(sys.argv[0]).name
    dashed = f"acsgreg-{command}"
    if typed.removesuffix(".exe") == dashed:
        return dashed
    script = f"{command.replace('-', '_')}.py"
    return script if typed == script else f"acsgreg {command}".strip()


def command_line(command: str, arguments: Sequence[str] | None = None) -> str:
    """The line that repeats a command, for a shell: `acsgreg register --fixed ...`.

    Args:
        command: "register".
        arguments: None takes those of the process.
    """
    return shlex.join(["acsgreg", command, *(sys.argv[1:] if arguments is None else arguments)])


def run(
    work: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the arguments, call `work(options)`, and return the exit code.

    An InputError, or what the operating system says of a file, becomes one line `error: ...` on stderr and
    code 2; a warning one line `warning: ...`; Ctrl-C code 130. Else the code is what `work` returns, or 0.

    Args:
        work: What the command does.
        parser: Of its arguments.
        arguments: None takes those of the process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' deprecations are not the user's business
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        options = argparse.Namespace()
        try:
            parser.parse_args(arguments, options)
            _check_paths(options)
            with terminal.showing(options.verbosity):
                return work(options) or 0
        except InputError as error:
            if getattr(options, "verbosity", None) is Verbosity.VERBOSE:
                traceback.print_exc()
            return _fail(_with_flag(str(error), options))
        except OSError as error:
            return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130


def _check_paths(options: argparse.Namespace) -> None:
    """Refuse empty values, as of a shell's variable that is not set: an empty path would be the current folder."""
    for name, value in vars(options).items():
        if value == "" and not name.endswith(("prefix", "suffix")):
            raise InputError(f"{name}: must not be empty")


def _with_flag(message: str, options: argparse.Namespace) -> str:
    """A message about a Python argument ("smoothness 2: ...") as one about the option that sets it."""
    name = re.match(r"[a-z_]+(?=( \S+)?:)", message)
    return f"--{name[0].replace('_', '-')}{message[name.end() :]}" if name and name[0] in vars(options) else message


def _fail(message: str) -> int:
    print(f"{terminal.label('error', sys.stderr)} {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextmanager
def holding_warnings() -> Iterator[list[str]]:
    """Within the block this thread's warnings go to the list, for `warn` to show them in their turn."""
    messages: list[str] = []
    _held.messages = messages
    try:
        yield messages
    finally:
        _held.messages = None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if getattr(_held, "messages", None) is not None:
        _held.messages.append(str(message))
        return
    tqdm.write(f"{terminal.label('warning', sys.stderr)} {' '.join(str(message).split())}", file=sys.stderr)


def warn(message: str) -> None:
    """Warn the user in one line of something that is no fault."""
    warnings.warn(message, stacklevel=2)


def check_outputs(outputs: Mapping[str, str | None], inputs: Iterable[str | os.PathLike | None]) -> None:
    """Before any work: that every output can be written, and none replaces an input or another output.

    Args:
        outputs: {option: path or None}.
        inputs: Paths or None.

    Raises:
        InputError: Naming the file.
    """
    read = {Path(path).resolve() for path in inputs if path is not None}
    written: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        check_writable(path)
        place = Path(path).resolve()
        if place in read:
            raise InputError(f"{path}: {option} would replace an input")
        if place in written:
            raise InputError(f"{path}: is given for both {written[place]} and {option}")
        written[place] = option


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write a dict to a JSON file; numbers that JSON lacks (NaN, infinity) become null."""
    files.write_json(path, files.plain(content))


def add_gpu(parser: argparse._ActionsContainer) -> None:
    """The option -g/--gpu, for `start_backend`."""
    parser.add_argument(
        "-g",
        "--gpu",
        metavar="ID",
        help="use this GPU, or several (0,1), or none (-1); default: all that the backend sees",
    )


def add_xla(parser: argparse._ActionsContainer) -> None:
    """The option --no-xla, for `start_backend`."""
    parser.add_argument(
        "--no-xla",
        action="store_true",
        help="TensorFlow without its compiler XLA, where that fails or takes too long (ACSGREG_XLA=0 is the same)",
    )


def add_dask(parser: argparse._ActionsContainer) -> None:
    """The option --dask, an address for `parallel.run_each`."""
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="work on a Dask cluster: its scheduler's address (tcp://...) or file; files have the same paths there",
    )


def make_absolute(options: argparse.Namespace, names: Iterable[str]) -> None:
    """Where work goes to a cluster, whose workers have working folders of their own: make the options' paths absolute.

    Args:
        options: With `dask`.
        names: Of options that are a path or None.
    """
    if options.dask is None:
        return
    for name in names:
        value = getattr(options, name)
        if value is not None:
            setattr(options, name, os.path.abspath(value))


def check_workers(processes: int, dask: str | None, option: str = "--processes") -> None:
    """Raise InputError for a number of processes below 1, or one beside a cluster."""
    if processes < 1:
        raise InputError(f"{option} {processes}: must be at least 1")
    if dask is not None and processes != 1:
        raise InputError(f"{option} {processes}: with --dask the cluster decides how many work side by side")


def start_backend(gpu: str | None = None, xla: bool = True) -> None:
    """Import Keras's backend (KERAS_BACKEND: tensorflow, jax or torch) without its chatter, on the GPUs asked for.

    Args:
        gpu: "0", "0,1", "-1" for none, or None to leave it as it is.
        xla: False does without XLA; True leaves it as ACSGREG_XLA has it.

    Raises:
        InputError: The backend is unknown or not installed, sees no such GPU, or cannot do without XLA.
    """
    if gpu is not None:
        if not all(part.isascii() and part.isdigit() for part in gpu.split(",")) and gpu != "-1":
            raise InputError(f"--gpu {gpu}: must be a GPU's number, several such as 0,1, or -1 for none")
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        if gpu == "-1":
            os.environ["JAX_PLATFORMS"] = "cpu"  # which else complains of the GPUs that it may not see
    if not xla:
        os.environ["ACSGREG_XLA"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if terminal.is_verbose() else "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the same for JAX
    with _quiet():
        try:
            from acsgreg_tf.ops import backend

            count, title = backend.gpu_count(), backend.title()
        except (ModuleNotFoundError, ValueError, NotImplementedError) as error:
            asked = os.environ.get("KERAS_BACKEND", "tensorflow, the default")
            raise InputError(
                f"KERAS_BACKEND={asked}: {one_line(error)}; install it, or set another of tensorflow, jax, torch"
            ) from error
    if not xla and title != backend.TITLES["tensorflow"]:
        raise InputError(f"--no-xla: is for TensorFlow; this is {title}")
    if gpu not in (None, "-1") and count < len(gpu.split(",")):
        raise InputError(f"--gpu {gpu}: {title} finds {count} GPU{'s' * (count != 1)} of that number")


def start_engine(options: argparse.Namespace) -> str:
    """The engine to register with: Keras where a GPU is asked for. Its backend is started only if it may compute.

    Args:
        options: With `engine` and `gpu`.
    """
    from acsgreg_tf.registration.engine import AUTO, KERAS, has_openvino

    engine = KERAS if options.engine == AUTO and options.gpu not in (None, "-1") else options.engine
    if engine == KERAS or not has_openvino():
        start_backend(options.gpu)
    return engine


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what C++ writes to stderr, and print it only if an error ends the block.

    TensorFlow logs its first lines before any of its settings takes effect. With -v nothing is held back.
    """
    if terminal.is_verbose():
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
