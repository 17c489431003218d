"""From scans to the pair of vertebrae: rules of a selection, levels of both scans, and what is done only once."""

from dataclasses import replace

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import Options, Scan, Selection, read_scan, select, shared_levels
from acsgreg_tf.registration.batch import Recipe
from acsgreg_tf.registration.prepare import prepare
from tests.registration.cases import BOX, NUMBER, grid_about, scan


@pytest.fixture(scope="module")
def whole():
    """A Scan that holds L2 and L3."""
    return read_scan(*scan(grid_about((0, 0, 0), (44, 46, 52), 1)))


@pytest.mark.parametrize(
    "selection, maps, words",
    [
        ({"label": 22, "level": "L3"}, (True, True), "label 22 and level L3"),
        ({"label": 22}, (False, False), "label 22: needs a label map"),
        ({"level": "L3"}, (False, False), "level L3: needs a label map"),
        ({"moving_label": 29}, (True, False), "moving_label 29: goes with a moving label map"),
        ({"moving_label": 29, "level": "L3"}, (True, True), "moving_label 29: .* a level's numbers are"),
        ({"moving_table": "verse"}, (True, True), "moving_table verse: goes with a level"),
    ],
)
def test_selections_that_contradict_themselves(selection, maps, words):
    with pytest.raises(InputError, match=words):
        Selection(**selection).check(*maps)


@pytest.mark.parametrize(
    "selection, numbers",
    [
        ({}, (None, None)),
        ({"label": 22}, (22, 22)),
        ({"label": 22, "moving_label": 29}, (22, 29)),
        ({"level": "L3"}, (22, 22)),
        ({"level": "L3", "moving_table": "totalsegmentator"}, (22, 29)),
        ({"level": "V", "table": {"V": 7}, "moving_table": "V=9"}, (7, 9)),
    ],
)
def test_the_numbers_that_a_selection_asks_for(selection, numbers):
    selection = Selection(**selection)
    assert (selection.fixed_number(), selection.moving_number()) == numbers


@pytest.mark.parametrize(
    "options, words",
    [
        ({"refine": -1}, "refine -1: must be a whole number"),
        ({"refine": 2.5}, "refine 2.5: must be a whole number"),
        ({"refine": 3, "smoothness": -1}, "smoothness -1: must be a number"),
        ({"refine": 0, "smoothness": 1.0}, "smoothness 1: goes with refine"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(InputError, match=words):
        Options(**options)


def test_a_selected_scan_passes_unchanged(whole):
    fixed, moving = select(whole, whole, Selection(level="L3"))
    assert fixed.number == moving.number == NUMBER and fixed.image is whole.image
    assert read_scan(fixed) is fixed
    assert select(fixed, moving, Selection(level="L3")) == (fixed, moving)


def test_a_scan_without_a_label_map_has_no_number(whole):
    crop = Scan(whole.image)
    assert [side.number for side in select(whole, crop, Selection(label=21))] == [21, None]


def test_levels_that_both_scans_hold(whole):
    labels = whole.label_map
    upper = Scan(whole.image, Image(np.where(labels.data == 21, 30, 0), labels.grid, "upper"))
    both = Selection(moving_table="totalsegmentator")
    assert shared_levels("all", whole, whole, Selection()) == ["L2", "L3"]
    assert shared_levels("all", whole, upper, both) == ["L2"]
    assert shared_levels("L3,l2", whole, whole, Selection()) == ["L2", "L3"]
    with pytest.raises(InputError, match="no level is in both label maps: scan_seg holds L2, L3; upper holds none"):
        shared_levels("all", whole, upper, Selection())
    with pytest.raises(InputError, match="'L9': not in the label table"):
        shared_levels("L9", whole, whole, Selection())


def test_a_few_stray_voxels_are_no_level(whole):
    data = whole.label_map.data.copy()
    data[0, 0, :2] = 20
    strays = Scan(whole.image, Image(data, whole.label_map.grid, "strays"))
    first = data.copy()
    first[data == 21] = 20
    assert shared_levels("all", strays, Scan(whole.image, Image(first, whole.label_map.grid)), Selection()) == ["L3"]
    with pytest.raises(InputError, match="strays: label 20: has 2 voxels, too few for a vertebra"):
        prepare(*select(strays, whole, Selection(label=20, moving_label=21)), BOX)


def test_a_level_that_is_not_there_is_named_with_its_number(whole):
    with pytest.raises(
        InputError, match=r"label 29; it holds 21, 22 \(L3 is 29 in the table; is it another tool's\?\)"
    ):
        select(whole, whole, Selection(level="L3", table="totalsegmentator"))


def test_masks_that_hide_all_or_nothing(whole):
    everything = Image(np.ones_like(whole.label_map.data), whole.label_map.grid, "everything")
    with pytest.raises(InputError, match="everything: hides all of the vertebra"):
        prepare(*select(replace(whole, ignore=everything), whole, Selection(level="L3")), BOX)
    moved = Grid(whole.label_map.grid.shape, np.diag([1, 1, 1, 1.0]) + np.array([[0, 0, 0, 500.0]] + [[0.0] * 4] * 3))
    elsewhere = Image(everything.data, moved, "elsewhere")
    pair = prepare(*select(whole, replace(whole, ignore=elsewhere), Selection(level="L3")), BOX)
    assert "elsewhere: lies nowhere near the vertebra, so it hides nothing; is it of this scan?" in pair.notes


def test_distances_of_a_pair_are_computed_once(whole):
    pair = prepare(*select(whole, whole, Selection(level="L3")), BOX)
    fixed, moving = pair.distances
    assert pair.distances[0] is fixed and fixed.shape == moving.shape == BOX
    assert (fixed[pair.fixed.label] < 0.5).all() and fixed[0, 0, 0] > 5


def test_a_batch_names_the_steps_that_the_default_stands_for():
    steps = [Recipe(**options).refine for options in ({}, {"model": "none"}, {"transform": "rigid"}, {"refine": 3})]
    assert steps == [8, 50, 0, 3]
