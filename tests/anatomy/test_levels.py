"""Levels against the published tables."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.levels import TABLES, label_of, levels_in, parse_table
from acsgreg_tf.errors import InputError


@pytest.mark.parametrize(
    "table, level, number",
    [
        ("verse", "C1", 1),
        ("verse", "C7", 7),
        ("verse", "T1", 8),
        ("verse", "T12", 19),
        ("verse", "L1", 20),
        ("verse", "L5", 24),
        ("verse", "L6", 25),
        ("verse", "sacrum", 26),
        ("verse", "T13", 28),
        ("totalsegmentator", "sacrum", 25),
        ("totalsegmentator", "S1", 26),
        ("totalsegmentator", "L5", 27),
        ("totalsegmentator", "L1", 31),
        ("totalsegmentator", "T12", 32),
        ("totalsegmentator", "T1", 43),
        ("totalsegmentator", "C7", 44),
        ("totalsegmentator", "C1", 50),
        (" TotalSegmentator ", "l3", 29),
        ("L3=3, L4=4", "L4", 4),
        ("mine=7", "MINE", 7),
    ],
)
def test_numbers(table, level, number):
    assert label_of(level, parse_table(table)) == number


def test_tables_have_no_number_twice_and_run_from_head_to_foot():
    for table in TABLES.values():
        assert len(set(table.values())) == len(table)
        assert list(table)[:2] == ["C1", "C2"] and list(table)[-1] == "sacrum"
    assert len(TABLES["verse"]) == 27 and len(TABLES["totalsegmentator"]) == 26


def test_levels_in_a_map_come_in_the_tables_order():
    label = np.zeros((3, 3, 3), np.uint8)
    label[0, 0] = (31, 32, 28)
    label[1, 1, 1] = 99
    assert levels_in(label, parse_table("totalsegmentator")) == ["T12", "L1", "L4"]
    assert levels_in(label, parse_table("verse")) == ["T13"]
    assert levels_in(np.zeros((2, 2, 2), int), parse_table("verse")) == []


@pytest.mark.parametrize(
    "text",
    ["", "vers", "L1", "L1=", "=3", "L1=x", "L1=-3", "L1=0", "L1=2.5", "L1=2,", "L1=2,l1=3", "L1=2,L2=2"],
)
def test_bad_tables(text):
    with pytest.raises(InputError, match="label table"):
        parse_table(text)


def test_unknown_level():
    with pytest.raises(InputError, match="level 'L9': not in the label table, which has L1, L2"):
        label_of("L9", parse_table("L1=1,L2=2"))
