"""Doubts about a pair and its registration: each fault is named, and what is right is not."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.vertebra import extract
from acsgreg_tf.geometry import Affine, Grid, pose_of
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration.doubts import flags_after, flags_before
from acsgreg_tf.registration.measures import SeenOverlap
from acsgreg_tf.registration.options import Options
from acsgreg_tf.registration.prepare import Selection, VertebraPair, prepare, select
from acsgreg_tf.registration.scan import Scan
from acsgreg_tf.synthesis.phantom import vertebra

SHAPE = (128, 128, 64)
STILL = pose_of(Affine(np.eye(4)), (0, 0, 0))


def phantom(seed, flip=(1, 1, 1), number=22, name="scan"):
    """A whole generated vertebra as a scan with a CT; a flip is one of its header."""
    mask = vertebra(seed, "L3") < 0
    affine = np.diag([*flip, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(mask.shape) - 1) / 2)
    grid = Grid(mask.shape, affine)
    ct = Image(np.where(mask, 300, 40).astype(np.float32), grid, f"{name}_ct")
    return Scan(ct, Image(np.where(mask, number, 0).astype(np.int16), grid, f"{name}_seg"))


def names(fixed, moving, **selection):
    scans = select(fixed, moving, Selection(**selection))
    return [flag.name for flag in flags_before(scans, prepare(*scans, SHAPE))]


@pytest.fixture(scope="module")
def fixed():
    return phantom(0, name="fixed")


def test_two_people_raise_no_doubt(fixed):
    assert names(fixed, phantom(1)) == []


@pytest.mark.parametrize(
    ("flip", "expected"),
    [
        ((1, 1, -1), ["orientation"]),
        ((1, -1, 1), ["moving_backward", "orientation"]),
        ((-1, -1, 1), ["moving_backward", "orientation"]),
        ((1, -1, -1), ["moving_backward", "orientation"]),
    ],
    ids=["upside down", "front to back", "turned half round", "both"],
)
def test_headers_that_contradict_each_other_are_named(fixed, flip, expected):
    assert names(fixed, phantom(1, flip)) == expected


def test_a_vertebra_of_a_few_millimetres(fixed):
    moving = phantom(1)
    tenth = Grid(moving.image.grid.shape, moving.image.grid.affine * np.array([0.1, 0.1, 0.1, 1])[:, None])
    small = Scan(*(Image(image.data, tenth, image.name) for image in (moving.image, moving.label_map)))
    assert names(fixed, small)[0] == "moving_volume"


def test_levels_that_do_not_go_together(fixed):
    assert names(fixed, phantom(1, number=23), moving_label=23, label=22) == ["levels"]
    # Numbers of two tools say nothing about each other.
    assert names(fixed, phantom(1, number=29), moving_label=29, label=22) == []


def test_a_label_that_does_not_lie_on_bone(fixed):
    moving = phantom(1)
    shifted = Image(np.roll(moving.label_map.data, 40, 0), moving.label_map.grid, "other_seg")
    assert names(fixed, Scan(moving.image, shifted)) == ["moving_contrast"]


def test_a_crop_without_a_label_is_not_judged_by_one():
    image = Image(np.pad(np.full((40, 40, 40), 0.5, np.float32), 12), Grid((64, 64, 64), np.eye(4)), "crop")
    crop = extract(image, shape=SHAPE)
    assert flags_before((Scan(image), Scan(image)), VertebraPair(crop, crop)) == []


def measures(dice=(0.6, 0.8, 0.96), assd=0.3, network=0):
    stages = ("before", "affine", "deformable")
    return {
        "dice": dict(zip(stages, dice)),
        "assd_mm": dict(zip(stages, (3, 1.5, assd))),
        "folds": {"count": 0, "network": network},
    }


@pytest.mark.parametrize(
    ("changed", "matrix", "expected"),
    [
        ({}, np.eye(3), []),
        ({"dice": (0.6, 0.8, 0.9)}, np.eye(3), ["low_dice"]),
        ({"dice": (0.6, 0.97, 0.95)}, np.eye(3), ["worse_than_affine"]),
        ({"assd": 1.5}, np.eye(3), ["far_surfaces"]),
        ({"assd": np.inf}, np.eye(3), ["far_surfaces"]),
        ({"network": 500_000}, np.eye(3), ["network_folds"]),
        ({}, np.diag([0.5, 0.5, 0.5]), ["stretch"]),
        ({}, np.diag([1, 1, 1.7]), ["stretch"]),
        ({}, np.diag([-1.0, -1.0, 1.0]), ["rotation"]),
        ({}, np.diag([-1.0, -1.0, -1.0]), ["mirror"]),
    ],
)
def test_results_that_are_not_usual_are_named(changed, matrix, expected):
    pose = pose_of(Affine(np.block([[matrix, np.zeros((3, 1))], [0, 0, 0, 1]])), (0, 0, 0))
    assert [flag.name for flag in flags_after(measures(**changed), pose, Options(), None, cut=False)] == expected


def test_of_a_cut_vertebra_what_is_seen_counts():
    whole = measures(dice=(0.5, 0.7, 0.8), assd=2)
    seen = SeenOverlap(measures()["dice"], 0.9)
    assert flags_after(whole, STILL, Options(), seen, cut=True) == []
    # Hidden by a mask alone, it is looked at whole as well.
    names = [flag.name for flag in flags_after(whole, STILL, Options(), seen, cut=False)]
    assert names == ["low_dice", "far_surfaces"]
    poor = SeenOverlap(measures(dice=(0.5, 0.8, 0.85))["dice"], 0.4)
    assert [flag.name for flag in flags_after(whole, STILL, Options(), poor, cut=True)] == ["little_seen", "low_dice"]


def test_overlap_says_little_of_a_rigid_transform():
    rigid = Options(transform="rigid")
    assert flags_after(measures(dice=(0.5, 0.7, 0.7), assd=2), STILL, rigid, None, cut=False) == []


def test_stray_voxels_and_a_sixth_lumbar_vertebra_are_mentioned(fixed):
    data = fixed.label_map.data.copy()
    data[0, 0, 0] = data[5, 5, 5] = 22
    data[1, 1, 1] = 25
    label_map = Image(data, fixed.label_map.grid, "fixed_seg")
    scans = select(Scan(fixed.image, label_map), phantom(1), Selection(label=22))
    pair = prepare(*scans, SHAPE)
    assert pair.notes == [
        "fixed_seg: label 22: 2 stray voxels left out",
        "fixed_seg: holds a sixth lumbar vertebra (label 25)",
    ]
    clean = prepare(*select(fixed, phantom(1), Selection(label=22)), SHAPE)
    np.testing.assert_allclose(pair.fixed.grid.affine, clean.fixed.grid.affine)
