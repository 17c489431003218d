"""Fine-tuning in one call: the loss falls, the network changes in place, and what does not fit is one line."""

from dataclasses import replace

import numpy as np
import pytest

from acsgreg_tf import training
from acsgreg_tf.errors import InputError
from acsgreg_tf.training import FINE_TUNING, fine_tune
from tests.training.test_run import network, vertebrae  # noqa: F401 (a fixture)

pytestmark = pytest.mark.trains

RECIPE = replace(FINE_TUNING, epochs=4, batch_size=2, lr=5e-3, window=5, schedule="constant")


def test_the_loss_falls_and_the_networks_own_weights_change(vertebrae, tmp_path):  # noqa: F811
    net = network()
    before = [np.array(weights) for weights in net.get_weights()]
    history = fine_tune(net, vertebrae, 8, recipe=RECIPE, validation=vertebrae, verbose=0).history
    assert len(history["loss"]) == 4 and history["loss"][-1] < history["loss"][0] - 0.02
    assert {"m_d_loss", "phi_loss", "m_d_seg_loss", "val_loss"} <= set(history)
    assert any((np.abs(new - old) > 1e-4).any() for new, old in zip(net.get_weights(), before, strict=True))
    net.save(tmp_path / "mine.h5")
    again = type(net).load(tmp_path / "mine.h5")
    np.testing.assert_array_equal(again.get_weights()[0], net.get_weights()[0])


def test_without_labels_there_are_no_label_terms(vertebrae):  # noqa: F811
    history = fine_tune(network(), vertebrae.without_labels(), 2, verbose=0).history
    assert "m_d_seg_loss" not in history and len(history["loss"]) == 1


def test_faults(vertebrae):  # noqa: F811
    with pytest.raises(InputError, match="steps 0: must be at least 1"):
        fine_tune(network(), vertebrae, 0)
    other = training.Vertebrae(vertebrae.images, inshape=(8, 8, 8))
    with pytest.raises(InputError, match=r"the vertebrae have shape \(8, 8, 8\), the network \(16, 16, 16\)"):
        fine_tune(network(), other)
