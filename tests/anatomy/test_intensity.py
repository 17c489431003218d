"""Scaling of CT intensities for the networks: known numbers."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.errors import InputError


def test_normalise_cuts_scales_and_masks():
    hu = np.array([-1000, -200, 650, 1500, 3000, 650])
    np.testing.assert_allclose(normalise(hu, [1, 1, 20, 1, 1, 0]), [0, 0, 0.5, 1, 1, 0])
    assert normalise(hu, np.ones(6)).dtype == np.float32


def test_normalise_refuses_a_label_of_another_shape():
    with pytest.raises(InputError, match="one shape"):
        normalise(np.zeros((2, 3)), np.zeros((3, 2)))
