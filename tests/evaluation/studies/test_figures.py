"""The figures of the studies: what is drawn where, on one window and one range of colours."""

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies.figures import comparison_figure, loss_figure
from tests.registration.figure_cases import images_labels_displacement, pixels_inside


@pytest.fixture
def case():
    return images_labels_displacement()


def test_methods_beside_each_other(case, tmp_path):
    """Two rows a method, one grey window and one range of colours over all of them."""
    images, labels, u = case
    outputs = {"one": (images[2], images[3], u), "two": (images[2], images[3] * 3, u / 4)}
    figure = comparison_figure(images[0], images[1], outputs, (1, 1, 2), labels["fixed"], title="L1")
    rows = np.array(figure.axes, dtype=object).reshape(4, 6)
    for ax, pixels in pixels_inside(figure, tmp_path / "figure.png"):
        assert min(pixels.shape[:2]) > 80 and pixels.std() > 5, ax.get_title()
    heads = [ax.get_title().split("\n")[0] for ax in rows[0]]
    assert heads == ["m (moving)", "f (fixed)", "m_a (affine)", "m_d (final)", "φ in colours", "φ as a grid"]
    assert len({ax.images[0].get_clim() for ax in rows[:, :4].ravel()}) == 1
    for row in (0, 2):
        np.testing.assert_array_equal(rows[row, 0].images[0].get_array(), images[1][:, :, 12].T)
        np.testing.assert_array_equal(rows[row, 1].images[0].get_array(), images[0][:, :, 12].T)
    strong, weak = (np.abs(rows[row, 4].images[0].get_array() - 0.5) for row in (0, 2))
    assert np.allclose(strong, 4 * weak)
    assert [part.get_suptitle() for part in figure.subfigs] == ["one", "two"]
    small, short = (images[2], images[3][1:], u), (*images[2:], u[1:])
    for bad, rule in [({}, "no method"), ({"one": small}, "those of one"), ({"one": short}, "one has shape")]:
        with pytest.raises(InputError, match=rule):
            comparison_figure(images[0], images[1], bad)


def test_loss_curves(tmp_path):
    curves = {"A": {"affine": [-0.1, -0.2], "deformable": [-0.3, -0.5]}, "B": {"affine": [-0.4], "deformable": [-0.6]}}
    figure = loss_figure(curves)
    affine, deformable = figure.axes
    assert [line.get_label() for line in affine.lines] == ["A", "B"] and affine.get_xlabel() == "epoch"
    np.testing.assert_array_equal(deformable.lines[0].get_xydata(), [[1, -0.3], [2, -0.5]])
    np.testing.assert_array_equal(affine.lines[1].get_xydata(), [[1, -0.4]])
    assert "LNCC" in affine.get_ylabel() and affine.get_title() == "affine part"
    for ax, pixels in pixels_inside(figure, tmp_path / "loss.png"):
        assert pixels.std() > 5, ax.get_title()
    for bad in ({}, {"A": {"affine": [], "deformable": [1]}}):
        with pytest.raises(InputError, match="no loss"):
            loss_figure(bad)
