"""Folders of long work: claimed once, resumed with the same recipe, refused to another."""

import json

import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.work_folder import changed_entries, claim

RECIPE = {"seed": 1, "shape": (2, 3)}


def test_a_folder_is_claimed_and_then_resumed(tmp_path):
    folder = tmp_path / "a" / "b"
    assert not claim(folder, "note.json", RECIPE)
    assert json.loads((folder / "note.json").read_text(encoding="utf-8")) == {"seed": 1, "shape": [2, 3]}
    assert claim(folder, "note.json", RECIPE)


def test_another_recipe_is_refused_and_the_note_stays(tmp_path):
    claim(tmp_path, "note.json", RECIPE)
    with pytest.raises(InputError, match="note.json: .* another seed, shape;"):
        claim(tmp_path, "note.json", {"seed": 2, "shape": (2, 4)})
    assert claim(tmp_path, "note.json", RECIPE)


def test_a_note_of_an_older_version_means_the_defaults():
    old = {"seed": 1, "gone": 5}
    assert changed_entries(old, RECIPE) == ["shape"]
    assert changed_entries(old, RECIPE, {"shape": (2, 3)}) == []
    assert changed_entries(old, RECIPE, {"shape": (9, 9)}) == ["shape"]


@pytest.mark.parametrize("text", ["{", "[1]", "7"])
def test_a_damaged_note_is_refused(tmp_path, text):
    (tmp_path / "note.json").write_text(text)
    with pytest.raises(InputError, match="note.json: cannot be read as a recipe"):
        claim(tmp_path, "note.json", RECIPE)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot be made a folder"):
        claim(tmp_path / "file", "note.json", RECIPE)
