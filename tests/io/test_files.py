"""Files written whole or not at all."""

import os

import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path, check_writable, remove_unfinished, write_json, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        assert temporary.name.endswith(".x.nii.gz") and temporary.parent == tmp_path
        temporary.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["x.nii.gz"]
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text(encoding="utf-8") == "new" and os.listdir(tmp_path) == ["x.nii.gz"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "scratch").mkdir()
    target, link = tmp_path / "scratch" / "real.txt", tmp_path / "link.txt"
    link.symlink_to(target)  # which is not there yet
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink() and target.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path / "scratch") == ["real.txt"]


def test_a_full_disk_is_the_users_news(tmp_path):
    with pytest.raises(InputError, match="x.bin: cannot be written"), atomic_path(tmp_path / "x.bin"):
        raise OSError(28, "No space left on device")


def test_a_place_that_only_trying_shows_cannot_be_written():
    """Root may write everywhere, and yet not there; the message names the file that was asked for."""
    for attempt in (lambda: check_writable("/proc/m.json"), lambda: write_json("/proc/m.json", {})):
        with pytest.raises(InputError, match=r"^/proc/m\.json: .*cannot be written"):
            attempt()


def test_the_rest_of_a_killed_run_is_removed(tmp_path):
    for name in (".0123abcd.x.nii.gz", ".hidden", "x.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / ".89abcdef.folder").mkdir()
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".89abcdef.folder", ".hidden", "x.nii.gz"]
