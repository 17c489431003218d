"""The figure of one registration: what is drawn where, on one window, the right way round."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from acsgreg_tf.errors import InputError
from acsgreg_tf.registration.figure import registration_figure, save_figure
from tests.registration.figure_cases import SHAPE, blob, images_labels_displacement, pixels_inside


@pytest.fixture
def case():
    return images_labels_displacement()


def by_row(figure):
    return np.array(figure.axes, dtype=object).reshape(3, -1)


@pytest.mark.parametrize("with_labels, with_field", [(False, False), (True, True)])
def test_every_panel_is_painted(case, tmp_path, with_labels, with_field):
    images, labels, u = case
    figure = registration_figure(*images, u if with_field else None, labels if with_labels else None, title="L3")
    assert by_row(figure).shape == (3, 9 if with_field else 6)
    painted = list(pixels_inside(figure, tmp_path / "figure.png"))
    with Image.open(tmp_path / "figure.png") as image:
        assert np.allclose(image.size, figure.get_size_inches() * figure.dpi, atol=1) and image.width > 1500
    for ax, pixels in painted:
        assert min(pixels.shape[:2]) > 80 and pixels.std() > 5, ax.get_title()
    names = [ax.get_title().split("\n")[0] for ax in by_row(figure)[0]]
    assert names[:6] == ["fixed", "moving", "affine", "deformable", "before", "after"]
    assert figure.get_suptitle() == "L3"


def test_compared_images_share_one_window(case):
    images, _, _ = case
    images[3] = images[3] * 3  # a brighter image must not get a window of its own
    figure = registration_figure(*images)
    limits = {ax.images[0].get_clim() for ax in by_row(figure)[:, :4].ravel()}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == 0 and high > images[0].max()


def test_directions_and_mm():
    """A bright voxel to the right, in front or above appears on the left and the upper side, at its mm."""
    image = np.zeros(SHAPE, np.float32)
    image[0, 0, 0] = image[-1, -1, -1] = 0.1  # the view reaches to the corners
    image[30, 32, 11] = image[19, 32, 20] = 1  # the planes are at z index 11 and x index 19
    spacing = (1.0, 1.5, 2.0)
    centre = (np.array(SHAPE) - 1) / 2
    figure = registration_figure(image, image, image, image, spacing=spacing)
    for ax, voxel, across in zip(by_row(figure)[:, 0], [(30, 32, 11), (19, 32, 20)], [(0, 1), (1, 2)]):
        picture = ax.images[0]
        rows, columns = picture.get_array().shape
        row, column = np.unravel_index(picture.get_array().argmax(), (rows, columns))
        left, right, bottom, top = picture.get_extent()
        at = (left + (column + 0.5) * (right - left) / columns, bottom + (row + 0.5) * (top - bottom) / rows)
        assert np.allclose(at, [(voxel[a] - centre[a]) * spacing[a] for a in across])
        x, y = ax.transAxes.inverted().transform(ax.transData.transform(at))
        assert 0 < x < 0.5 < y < 1
        assert ax.get_aspect() == 1  # a mm is a mm
    letters = [[(t.get_text(), t.get_position()) for t in ax.texts] for ax in by_row(figure)[:, 0]]
    assert [t for t, _ in letters[0]] == ["R", "L", "A", "P"] and [t for t, _ in letters[1]] == [
        "A",
        "P",
        "S",
        "I",
    ]
    assert letters[0][0][1][0] < 0.5 < letters[0][1][1][0] and letters[0][2][1][1] > 0.5
    assert by_row(figure)[0, 0].get_xlabel() == "x (mm)" and "z = -1 mm" in by_row(figure)[0, 0].get_ylabel()


def test_planes_and_view_follow_the_labels():
    """A vertebra off the middle of a large scan is what is shown."""
    shape = (60, 60, 50)
    image, label = blob((15, 40, 38), 8, shape), blob((15, 40, 38), 6, shape) > 0
    figure = registration_figure(image, image, image, image, labels=dict.fromkeys(("fixed", "moving", "moved"), label))
    transversal, sagittal, coronal = by_row(figure)[:, 0]
    assert "z = 13.5 mm" in transversal.get_ylabel() and "x = -14.5 mm" in sagittal.get_ylabel()
    assert "coronal, y = 10.5 mm" in coronal.get_ylabel()
    assert transversal.get_xlim() == (-3, -26)  # voxels 10 to 20 and 6 mm more on both sides, right to left
    assert [by_row(figure)[0, c].get_title() for c in (4, 5)] == ["before\nDice 1.000", "after\nDice 1.000"]


def test_overlays(case):
    images, labels, _ = case
    plain = by_row(registration_figure(images[0], images[1], images[2], images[0]))
    before, after = (plain[0, c].images[0].get_array() for c in (4, 5))
    assert before.shape[-1] == 3
    only_moving = (images[1] > 0.3) & (images[0] == 0)
    red, _, blue = before[only_moving[:, :, 11].T].T
    assert (red > blue).all() and red.size  # moving is the red one
    assert np.ptp(after, axis=-1).max() < 0.2  # fixed on itself is grey

    contoured = by_row(registration_figure(*images, labels=labels))
    for ax, other in ((contoured[0, 4], "moving"), (contoured[0, 5], "moved")):
        fixed, moving = ax.collections
        assert not np.array_equal(fixed.get_edgecolor(), moving.get_edgecolor())
        for drawn, label in ((fixed, labels["fixed"]), (moving, labels[other])):
            low, high = (f(np.flatnonzero(label[:, :, 12].any(1))) - (SHAPE[0] - 1) / 2 for f in (np.min, np.max))
            x = np.concatenate([path.vertices for path in drawn.get_paths()])[:, 0]
            assert np.allclose((x.min(), x.max()), (low - 0.5, high + 0.5))


def test_deformed_grid_and_colours(case):
    images, _, _ = case
    u = np.zeros((*SHAPE, 3), np.float32)
    u[..., 0] = 2
    length, grid = by_row(registration_figure(*images, u, spacing=(1.5, 1, 1)))[0, 6:]
    # 2 voxels of 1.5 mm are 3 mm, and every line of the grid lies 3 mm off its voxels.
    assert np.allclose(length.images[0].get_array(), 3)
    lines = grid.collections[0].get_segments()
    centres = (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2) * 1.5
    assert np.allclose(np.unique(np.concatenate(lines)[:, 0].round(6)), centres + 3)
    assert grid.get_title() == "φ as a grid\n0 % folds" and len(grid.lines[0].get_xdata()) == 0


def test_the_window_is_in_hu_where_the_images_are_ct(case):
    images, _, _ = case
    plain, hu = (registration_figure(*images, hu=known)._supxlabel.get_text() for known in (False, True))
    high = by_row(registration_figure(*images))[0, 0].images[0].get_clim()[1]
    assert plain == f"grey window 0 to {high:.4g}"
    assert hu.startswith(f"grey window -200 to {-200 + 1700 * high:.0f} HU")


def test_folds_are_marked(case):
    images, _, _ = case
    u = np.zeros((*SHAPE, 3), np.float32)
    u[20, 22, 11, 0] = 2.5  # in the transversal plane, jumping over its neighbour
    grid = by_row(registration_figure(*images, u))[0, 7]
    assert np.allclose(grid.lines[0].get_xydata(), [[20 + 2.5 - 19.5, 22 - 21.5]])
    assert not grid.get_title().endswith("\n0 % folds")


def test_images_without_contrast_or_values(tmp_path):
    flat, hollow = np.zeros(SHAPE), np.full(SHAPE, np.nan)
    empty = dict.fromkeys(("fixed", "moving", "moved"), flat)
    figure = registration_figure(flat, hollow, flat, flat, np.zeros((*SHAPE, 3)), empty)
    panels = dict(pixels_inside(figure, tmp_path / "flat.png"))
    moving = panels[by_row(figure)[0, 1]]
    assert np.median(moving) == 0  # black, not the page's white
    plain = registration_figure(flat, hollow, hollow, hollow)
    assert np.array_equal(by_row(plain)[0, 4].images[0].get_array(), np.zeros((*SHAPE[1::-1], 3)))


def test_faults_are_named(case, tmp_path):
    images, labels, u = case
    for arguments, rule in [
        ({"moved": images[3][:-1]}, "one shape"),
        ({"displacement": u[..., :2]}, "displacement"),
        ({"displacement": np.full_like(u, np.nan)}, "not finite"),
        ({"labels": {"fixed": labels["fixed"]}}, "no moved, moving label"),
        ({"labels": {**labels, "moved": labels["moved"][:-1]}}, "moved has shape"),
        ({"spacing": (1, 1)}, "spacing"),
        (
            dict.fromkeys(("fixed", "moving", "affine_moved", "moved"), np.full(SHAPE, np.nan)),
            "no finite value",
        ),
    ]:
        names = ("fixed", "moving", "affine_moved", "moved")
        given = {**dict(zip(names, images)), **arguments}
        with pytest.raises(InputError) as caught:
            registration_figure(**given)
        assert rule in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="docx"):
        save_figure(registration_figure(*images), tmp_path / "figure.docx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ending", "first"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_a_figure_in_each_format(case, tmp_path, ending, first):
    save_figure(registration_figure(*case[0]), tmp_path / f"figure{ending}")
    assert (tmp_path / f"figure{ending}").read_bytes().startswith(first)


def test_import_is_light():
    heavy = "matplotlib", "keras", "tensorflow"
    code = f"import sys, acsgreg_tf.registration.figure; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
