"""Lists of pairs, and which vertebra of a label map is meant."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import pair_labels, read_pairs
from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import Image
from tests.evaluation.cases import pair


@pytest.mark.parametrize(
    "text, words",
    [
        ("fixed,fixed_seg\na,b\n", "lacks the column moving, moving_seg"),
        ("fixed,fixed_seg,moving,moving_seg\n", "holds no pair"),
        ("fixed,fixed_seg,moving,moving_seg\na,b,,d\n", "pairs.csv, line 2: moving is empty"),
        ("fixed,fixed_seg,moving,moving_seg,label\na,b,c,d,L3\n", "pairs.csv, line 2: label .*L3"),
    ],
)
def test_bad_lists_of_pairs_are_refused(tmp_path, text, words):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_pairs(tmp_path / "pairs.csv")


def test_paths_start_at_the_lists_own_folder(tmp_path):
    (tmp_path / "pairs.csv").write_text("level,fixed,fixed_seg,moving,moving_seg\nL1,a,b, c ,d\n")
    assert read_pairs(tmp_path / "pairs.csv") == [
        {name: str(tmp_path / word) for name, word in zip(("fixed", "fixed_seg", "moving", "moving_seg"), "abcd")}
        | {"level": "L1", "label": ""}
    ]


def test_kind_parts_and_landmarks_are_there_where_the_list_has_them(tmp_path):
    head = "fixed,fixed_seg,moving,moving_seg,kind,fixed_parts,moving_parts"
    (tmp_path / "pairs.csv").write_text(f"{head}\na,b,c,d,real,e,f\na,b,c,d,,,\n")
    first, second = read_pairs(tmp_path / "pairs.csv")
    assert first["kind"] == "real" and first["fixed_parts"] == str(tmp_path / "e")
    assert not {"kind", "fixed_parts", "moving_parts"} & set(second)


def label_map(*numbers, name="map"):
    """A label map that holds each number in one voxel."""
    data = np.zeros((4, 4, 4), np.int16)
    data[0, 0, : len(numbers)] = numbers
    return Image(data, Grid(data.shape, np.eye(4)), name)


def numbers_of(**changes):
    """The numbers that are left of a whole scan (fixed) and a crop (moving)."""
    maps = {"fixed_seg": label_map(21, 22, name="scan"), "moving_seg": label_map(1, name="crop")}
    return [set(np.unique(seg.data)) for seg in pair_labels(pair("f", "m") | maps | changes)]


def test_a_map_of_many_is_asked_for_the_levels_number_and_one_of_a_single_vertebra_is_not():
    assert numbers_of() == [{0, 22}, {0, 1}]
    assert numbers_of(level="L2") == [{0, 21}, {0, 1}]
    assert numbers_of(label="22", moving_seg=label_map(22, 23)) == [{0, 22}, {0, 22}]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"moving_seg": label_map(21, name="neighbour")}, "neighbour: .*22"),  # another lumbar level
        ({"level": ""}, "scan: .*21, 22"),
        ({"label": "22"}, "crop: .*22"),
    ],
)
def test_a_vertebra_that_is_not_there_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        numbers_of(**changes)
