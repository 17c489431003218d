"""What mkdocs needs beside mkdocs.yml: pages that lie outside docs/, and links to and from them."""

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
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files, config):
    """Add the pages that lie outside docs/."""
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
