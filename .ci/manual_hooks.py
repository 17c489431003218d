"""What mkdocs needs beside mkdocs.yml: pages that lie outside docs/, and links to and from them."""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
# Files of the clone that are pages of the manual, and where.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "models/README.md": "project/model.md",
    "data/README.md": "project/data.md",
}
MESSAGES = "reference/messages.md"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files, config):
    """Add the pages that lie outside docs/, and the list of messages."""
    files.append(File.generated(config, MESSAGES, content=messages_page()))
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=_relinked(text, posixpath.dirname(source), target)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links that leave docs/ into links to pages of the manual; other files of the clone are named, not linked."""
    source = page.file.src_uri
    if source in PAGES.values():
        return markdown
    return _relinked(markdown, posixpath.dirname(f"docs/{source}"), source)


def _relinked(text, folder, page):
    """The text of a page, whose links are relative to `folder` of the clone, for its place `page` in the manual."""

    def link(match):
        picture, words, path, anchor = match[1], match[2], match[3], match[4] or ""
        target = posixpath.normpath(posixpath.join(folder, path))
        place = PAGES.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if place is None:
            return words
        return f"{picture}[{words}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(link, text)


def messages_page():
    """Every error message of the package, by the module that raises it, for the site's search."""
    lines = [
        "# Every error message",
        "",
        "`...` is what varies. Those that users meet most have a cure: [troubleshooting](../guide/troubleshooting.md).",
    ]
    for path in sorted((ROOT / "acsgreg_tf").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = dict.fromkeys(text for node in ast.walk(tree) for text in _message_of(node))
        if found:
            what = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
            lines += ["", f"## {path.relative_to(ROOT).as_posix()}", "", what, "", *(f"- `{text}`" for text in found)]
    return "\n".join(lines) + "\n"


def _message_of(node):
    """The text of `raise InputError(text)`, unless it is another error's own."""
    call = node.exc if isinstance(node, ast.Raise) else None
    if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "InputError" and call.args):
        return []
    text = call.args[0]
    if isinstance(text, ast.JoinedStr):
        words = "".join(part.value if isinstance(part, ast.Constant) else "..." for part in text.values)
    else:
        words = text.value if isinstance(text, ast.Constant) else ""
    return [words.replace("`", "'")] if len(words.replace(".", "").strip(": ")) > 3 else []
