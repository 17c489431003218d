"""`acsgreg`: its commands, their help and examples, and what -q, -v and a terminal change."""

import os
import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import acsgreg_tf
from acsgreg_tf.cli import common, completion, terminal
from acsgreg_tf.cli.main import COMMANDS, main, module_of
from acsgreg_tf.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def help_of(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_every_script_is_a_command():
    scripts = {path.stem.replace("_", "-") for path in (ROOT / "scripts").glob("*.py")}
    assert scripts == set(COMMANDS) - {"doctor", "completion"}


@pytest.mark.parametrize("command", COMMANDS)
def test_its_help_names_the_command_and_ends_with_examples_that_parse(command, capsys):
    text = help_of(command, capsys)
    assert text.startswith(f"usage: acsgreg {command} ") and "-q, --quiet" in text
    examples = text.split("\nexamples:\n")[1].replace("\\\n", " ")
    lines = re.findall(r"^ {4}(?:source <\()?(acsgreg [^>)\n]*)", examples, re.MULTILINE)
    assert lines
    for line in lines:
        _, name, *words = shlex.split(line)
        assert name == command
        module_of(name).parser().parse_args(words)


def test_without_a_command_and_with_a_wrong_one(capsys):
    assert main([]) == 2 and "check-people" in capsys.readouterr().out
    assert main(["regster", "--fixed", "a"]) == 2
    assert main(["regster"]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1] == "error: regster: there is no such command; did you mean register?"
    )


@pytest.mark.parametrize("words", [["--version"], ["warp", "--version"]])
def test_version(words, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().out == f"acsgreg_tf {acsgreg_tf.__version__}\n"


@pytest.mark.parametrize(
    "typed, command, program",
    [
        ("/usr/bin/acsgreg", "test-set", "acsgreg test-set"),
        ("/usr/bin/acsgreg-test-set", "test-set", "acsgreg-test-set"),
        ("scripts/test_set.py", "test-set", "test_set.py"),
        ("acsgreg-warp.exe", "warp", "acsgreg-warp"),
    ],
)
def test_messages_name_the_command_as_it_was_typed(monkeypatch, typed, command, program):
    monkeypatch.setattr(sys, "argv", [typed])
    with pytest.raises(InputError, match=rf"\(see {program} --help\)"):
        module_of(command).parser().parse_args(["--no-such-option"])


def work(options):
    print("a result")
    common.warn("a warning")
    if options.fail:
        raise InputError("a fault")


def run(*words):
    parser = common.Parser("measure")
    parser.add_argument("--fail", action="store_true")
    return common.run(work, parser, words)


def test_quiet_and_verbose(capsys):
    assert run() == 0
    assert capsys.readouterr() == ("a result\n", "warning: a warning\n")
    assert run("-q") == 0
    assert capsys.readouterr() == ("", "warning: a warning\n")
    assert run("-v", "--fail") == 2
    shown = capsys.readouterr()
    assert shown.out == "a result\n" and "Traceback" in shown.err and shown.err.endswith("error: a fault\n")
    assert run("-q", "-v") == 2
    assert not terminal.is_quiet() and not terminal.is_verbose()


def test_own_options_may_stand_before_the_command(monkeypatch, capsys):
    monkeypatch.setattr(module_of("doctor"), "main", lambda words: print(words) or 0)
    assert main(["-q", "doctor", "--no-test"]) == 0
    assert capsys.readouterr().out == "['-q', '--no-test']\n"


class Screen:
    def isatty(self):
        return True


def test_colours_on_a_terminal_alone(monkeypatch, tmp_path):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    with open(tmp_path / "log", "w") as file:
        assert terminal.label("error", file) == "error:"
    assert terminal.label("error", Screen()) == "\033[31;1merror:\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.label("warning", Screen()) == "warning:"
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.label("warning", Screen()) == "warning:"


@pytest.mark.slow
def test_a_terminal_sees_colours_and_a_bar_and_a_file_neither(tmp_path):
    """Through a pseudo-terminal, as `script` makes one."""
    fcntl, pty, termios = (
        pytest.importorskip(name, reason="no pseudo-terminals on this system") for name in ("fcntl", "pty", "termios")
    )
    words = ["warp", "--label", "data/sample/g3-00001-L3_seg.nii.gz", "--out", str(tmp_path / "l.nii.gz")]
    (tmp_path / "bad.tfm").write_text("nothing")
    words += ["--warp", str(tmp_path / "bad.tfm"), "--reference", "data/sample/g3-00000-L3_ct.nii.gz"]
    command = [sys.executable, "-m", "acsgreg_tf", *words]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "", "PYTHONPATH": str(ROOT)}
    plain = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert plain.returncode == 2 and plain.stderr.startswith("error: ") and plain.stderr.count("\n") == 1
    main_end, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=child_end, stderr=child_end)
    os.close(child_end)
    seen = b""
    try:
        while part := os.read(main_end, 4096):
            seen += part
    except OSError:  # Linux says so at the end
        pass
    os.close(main_end)
    assert child.wait() == 2
    assert b"reading the transform" in seen and b"\033[31;1merror:\033[0m" in seen


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_knows_commands_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "check-people" in script and "inverse-warp" in script


def test_bash_completes(tmp_path, capsys):
    main(["completion", "bash"])
    (tmp_path / "acsgreg").write_text(capsys.readouterr().out)
    (tmp_path / "scan.nii.gz").touch()

    def complete(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        code = (
            f"source ./acsgreg; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _shtab_acsgreg; "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.split()

    assert complete("acsgreg", "reg") == ["register"]
    assert complete("acsgreg", "register", "--inv") == ["--inverse-warp"]
    assert complete("acsgreg", "register", "--transform", "ri") == ["rigid"]
    assert complete("acsgreg", "warp", "--image", "sc") == ["scan.nii.gz"]


def test_a_missing_package_is_one_line(tmp_path):
    """A Python without tqdm, as one sees who forgets to activate the environment."""
    (tmp_path / "tqdm.py").write_text("raise ModuleNotFoundError(\"No module named 'tqdm'\", name='tqdm')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for script in ("register", "train"):
        command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--help"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: the package tqdm is not installed") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_doctor_registers_two_made_up_vertebrae(capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "self test       passed" in shown and f"{acsgreg_tf.__version__}" in shown


def test_doctor_without_its_test_and_with_a_test_that_fails(capsys, monkeypatch):
    from acsgreg_tf.registration import self_test

    assert main(["doctor", "--no-test"]) == 0
    shown = capsys.readouterr().out
    assert "backend" in shown and "self test" not in shown
    failed = self_test.SelfTest(before=0.6, after=0.7, engine="none", itk_mm=0.0, seconds={"total": 1.0})
    monkeypatch.setattr(self_test, "self_test", lambda progress: failed)
    assert main(["doctor"]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--engine", "keras"), ("-q",)], ids=["keras", "quiet"])
def test_no_library_speaks(tmp_path, options):
    """In a process of its own, where TensorFlow logs before its settings take effect."""
    sample = [f"data/sample/g3-0000{i}-L3_{what}.nii.gz" for i in (0, 1) for what in ("ct", "seg")]
    words = [word for pair in zip(("--fixed", "--fixed-seg", "--moving", "--moving-seg"), sample) for word in pair]
    words += ["--transform", "rigid", "--moved", str(tmp_path / "moved.nii.gz"), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "acsgreg_tf", "register", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0 and done.stderr == ""
    assert (done.stdout == "") == ("-q" in options) and (tmp_path / "moved.nii.gz").exists()
