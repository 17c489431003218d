"""ResizeDisplacement: the layer round `ops.fields.resize_displacement`, whose answers are tested there."""

import numpy as np

from acsgreg_tf.layers import ResizeDisplacement
from tests.helpers import noise
from tests.keras_cases import check_layer


def test_it_is_a_good_layer():
    check_layer(lambda: ResizeDisplacement((10, 8, 6)), noise((2, 5, 4, 3, 3)), field=True)
    check_layer(lambda: ResizeDisplacement((3, 4)), noise((2, 6, 8, 2)), field=True)


def test_a_displacement_comes_in_the_new_voxels():
    result = ResizeDisplacement((9, 9, 5))(np.ones((1, 5, 5, 3, 3), "float32"))
    np.testing.assert_allclose(result, np.full((1, 9, 9, 5, 3), 2.0), atol=1e-6)
