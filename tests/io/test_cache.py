"""The cache: made once, made again where it is damaged, bounded, and never a reason to fail."""

import os

import pytest

from acsgreg_tf.io import cache
from acsgreg_tf.io.cache import cached_folder

FILES = ("a.txt",)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ACSGREG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "a.txt").write_text(str(self.calls))


def test_an_entry_is_made_once_and_again_where_a_file_is_missing(folder):
    make = Maker()
    for _ in range(2):
        entry = cached_folder("kind", "key", FILES, make)
        assert entry == folder / "kind" / "key" and (entry / "a.txt").read_text() == "1"
    (entry / "a.txt").unlink()
    assert (cached_folder("kind", "key", FILES, make) / "a.txt").read_text() == "2"
    assert cached_folder("kind", "other", FILES, make) != entry and make.calls == 3


def test_what_fails_leaves_nothing(folder):
    def fail(folder):
        (folder / "a.txt").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_folder("kind", "key", FILES, fail)
    assert list((folder / "kind").iterdir()) == []


def test_the_oldest_entries_go(folder):
    make = Maker()
    for i in range(cache.MOST_ENTRIES):
        os.utime(cached_folder("kind", str(i), FILES, make), (1000 + i, 1000 + i))
    cached_folder("kind", "0", FILES, make)  # is used, so that 1 is the oldest now
    cached_folder("kind", "new", FILES, make)
    assert {entry.name for entry in (folder / "kind").iterdir()} == {
        "new",
        "0",
        *map(str, range(2, cache.MOST_ENTRIES)),
    }


def test_another_process_may_be_first(folder):
    def slower(partial):
        (partial / "a.txt").write_text("second")
        (folder / "kind" / "key").mkdir()
        (folder / "kind" / "key" / "a.txt").write_text("first")

    assert (cached_folder("kind", "key", FILES, slower) / "a.txt").read_text() == "first"
    assert [entry.name for entry in (folder / "kind").iterdir()] == ["key"]


def test_what_another_process_made_meanwhile_stays(folder):
    """It is in use there already."""
    first = []

    def slower(partial):
        first.append(cached_folder("kind", "key", FILES, Maker()))
        (partial / "a.txt").write_text("second")

    entry = cached_folder("kind", "key", FILES, slower)
    assert first == [entry] and (entry / "a.txt").read_text() == "1"


def test_what_is_unfinished_is_no_entry_and_goes_after_a_day(folder):
    for i in range(cache.MOST_ENTRIES):
        (folder / "kind" / f".partial-{i}").mkdir(parents=True)
    os.utime(folder / "kind" / ".partial-0", (1000, 1000))
    make = Maker()
    for name in ("a", "b"):
        cached_folder("kind", name, FILES, make)
    names = {entry.name for entry in (folder / "kind").iterdir()}
    assert names == {"a", "b", *(f".partial-{i}" for i in range(1, cache.MOST_ENTRIES))}


def test_without_a_place_to_write_a_temporary_folder_serves(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ACSGREG_CACHE", str(tmp_path / "file"))
    assert (cached_folder("kind", "key", FILES, Maker()) / "a.txt").read_text() == "1"
