"""The documents' commands run as they are printed, and their links lead somewhere."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("[dm]*/**/*.md")]
# A block of code, and the comment above it: <!-- run --> or <!-- needs: what is not in the clone -->.
BLOCK = re.compile(r"(?:<!-- (run|needs: [^\n]+?) -->\n)?```(shell|python)\n(.*?)```", re.DOTALL)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks(page):
    return [match.groups() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of what a user's clone holds, for the commands to write into."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("acsgreg_tf", "scripts", "data", "models", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    # `acsgreg` of this copy, whatever is installed.
    (folder / "bin").mkdir()
    (folder / "bin" / "acsgreg").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m acsgreg_tf "$@"\n')
    (folder / "bin" / "acsgreg").chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_runnable_blocks_run_in_order(page, clone):
    for mark, language, code in blocks(page):
        if mark != "run":
            continue
        arguments = ["bash", "-euo", "pipefail", "-c"] if language == "shell" else [sys.executable, "-c"]
        path = os.pathsep.join([str(clone / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [*arguments, code], cwd=clone, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"{code}\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_whether_it_runs(page):
    unmarked = [code for mark, _, code in blocks(page) if mark is None]
    assert not unmarked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_options_in_its_blocks_exist(page, capsys):
    for _, language, code in blocks(page):
        if language != "shell":
            continue
        for line in code.replace("\\\n", " ").splitlines():
            command = re.search(r"(?:scripts/|acsgreg )([a-z][\w-]*)(?:\.py)?\b(.*)", line.split("#")[0])
            if command:
                with pytest.raises(SystemExit):
                    import_module(f"acsgreg_tf.cli.{command[1].replace('-', '_')}").main(["--help"])
                known = set(re.findall(r"--?[a-z][\w-]*", capsys.readouterr().out))
                unknown = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", command[2])) - known
                assert not unknown, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_its_links_lead_to_files_and_headings(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in slugs, target


def test_every_page_of_the_documents_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert set(itertools.chain(ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"))) <= reached


def messages():
    """Every text in the package, with ... for what is filled in."""
    for path in (ROOT / "acsgreg_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code():
    """Each first cell that quotes a message of this package; others name whose it is."""
    page = (ROOT / "docs" / "guide" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` (?:\(warning\) )?\|", page, re.MULTILINE)
    assert len(quoted) > 70
    known = list(messages())
    missing = []
    for message in quoted:
        pattern = ".*".join(re.escape(part) for part in message.split("..."))
        if not any(re.search(pattern, text, re.DOTALL) for text in known):
            missing.append(message)
    assert not missing


def test_every_page_stands_in_the_manual():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = set(re.findall(r"(?:^|[ :])((?:\w+/)*\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert pages - listed == set()


@pytest.mark.slow
def test_the_manual_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "api" / "registration.html").read_text(encoding="utf-8")
    assert 'id="acsgreg_tf.registration.register"' in page and "fixed_seg" in page
    assert (tmp_path / "site" / "guide" / "troubleshooting.html").exists()
