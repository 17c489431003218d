"""People who stand in two lists: the same bone however it was saved, and two people apart."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from acsgreg_tf.cli.check_people import main
from acsgreg_tf.cohort.same_person import SAME_PERSON_MM, Surface, shape_distance
from acsgreg_tf.synthesis.phantom import vertebra

SHAPE, SPACING = (64, 64, 32), 2.0


def bone(seed):
    return vertebra(seed, "L3", SHAPE, SPACING) < 0


def turned(mask, degrees, spacing=1.0):
    """The mask turned about z and sampled anew, with voxels `spacing` times as large."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * spacing
    shape = np.ceil(np.array(mask.shape) / spacing + 8).astype(int)
    offset = (np.array(mask.shape) - 1) / 2 - matrix @ ((shape - 1) / 2)
    return ndimage.affine_transform(mask.astype(float), matrix, offset, output_shape=tuple(shape), order=1) > 0.5


def surface(mask, spacing=SPACING):
    return Surface.of(mask, np.full(3, spacing))


def test_the_points_of_a_ball():
    """A ball of radius 8 mm, voxels of 1 x 1 x 2 mm: its points lie on it, and a ball of 9 mm misses it by 1 mm."""
    x, y, z = np.indices((21, 21, 11)) * np.array([1, 1, 2]).reshape(3, 1, 1, 1) - 10
    ball = Surface.of(x**2 + y**2 + z**2 < 64, (1, 1, 2))
    radius = np.linalg.norm(ball.points, axis=1)
    assert np.abs(radius - 8).mean() < 0.4
    assert ball.miss(ball.points) < 0.05
    assert ball.miss(ball.points * (radius + 1)[:, None] / radius[:, None]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: np.pad(mask, 3)[1:, 2:],
        lambda mask: mask[::-1],
        lambda mask: mask.transpose(2, 0, 1)[:, ::-1],
        lambda mask: turned(mask, 25),
        lambda mask: turned(mask[:, ::-1], 160),
    ],
    ids=["moved", "flipped", "axes", "turned", "turned and flipped"],
)
def test_the_same_bone_however_it_was_saved(change):
    mask = bone(3)
    assert shape_distance(surface(mask), surface(change(mask))) < 0.2 * SPACING


def test_the_same_bone_with_other_voxels_or_a_cut_tip():
    mask = bone(3)
    assert shape_distance(surface(mask), surface(turned(mask, 10, 1.5), 1.5 * SPACING)) < 0.3 * SPACING
    cut = mask.copy()
    cut[: np.flatnonzero(mask.any(axis=(1, 2)))[0] + 4] = False
    assert shape_distance(surface(mask), surface(cut)) < 0.2 * SPACING


def test_two_people_are_farther_apart_than_one():
    people = [surface(bone(seed)) for seed in (3, 4, 5)]
    assert min(shape_distance(people[a], people[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > SAME_PERSON_MM


def write_list(folder, name, bones):
    """A CSV list of label maps: {person: mask}."""
    lines = ["image,label,person,level,number"]
    for person, mask in bones.items():
        affine = np.diag([SPACING, SPACING, SPACING, 1])
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / f"{name}_{person}_seg.nii.gz")
        lines.append(f",{name}_{person}_seg.nii.gz,{person},L3,1")
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_names_who_stands_in_both_lists(tmp_path, capsys):
    train = write_list(tmp_path, "train", {"ann": bone(3), "ben": bone(4)})
    test = write_list(tmp_path, "test", {"carl": bone(4)[::-1], "dora": bone(5)})
    assert main([str(train), str(test)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "ben" in lines[0] and "carl" in lines[0] and "1 people stand" in lines[1]


def test_the_command_is_content_with_different_people(tmp_path, capsys):
    train = write_list(tmp_path, "train", {"ann": bone(3)})
    test = write_list(tmp_path, "test", {"dora": bone(5)})
    assert main([str(train), str(test), "--nearest", "1"]) == 0
    assert "ann" in capsys.readouterr().out


def test_a_list_without_vertebrae(tmp_path, capsys):
    path = tmp_path / "list.csv"
    path.write_text("image,label\n")
    assert main([str(path), str(path)]) == 2
    assert "list.csv" in capsys.readouterr().err
