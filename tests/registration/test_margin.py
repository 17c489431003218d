"""Beyond the vertebra the velocity fades: the written transform folds nowhere, and the bone's own flow stays."""

import numpy as np
import pytest
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.geometry import Grid, network_grid
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.folds import without_folds
from acsgreg_tf.registration.margin import FAR, with_margin
from tests.helpers import noise

SHAPE, LATTICE = (40, 36, 24), (20, 18, 12)
AFFINE = np.c_[np.diag([1.05, 0.97, 1.02]), (1.0, -2.0, 0.5)]


def bone():
    """A block that comes within two voxels of the z faces, as vertebrae do."""
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 10:26, 2:22] = True
    return mask


def strong_at_the_faces():
    """A smooth velocity of some voxels, whose z component is largest at the z faces: cut off there, it tears."""
    velocity = ndimage.gaussian_filter(noise((*LATTICE, 3), 25.0), (3, 3, 3, 0), mode="nearest")
    velocity[..., 2] += 1.5 * np.linspace(-1, 1, LATTICE[2])
    return velocity.astype("float32")


def sampled(deformation, spacing, beyond=20.0):
    """The written transform and its inverse on the box grown by 20 mm a side, in voxels of `spacing` mm."""
    fixed, moving = network_grid((3, 5, 7), SHAPE), network_grid((-4, 8, 1), SHAPE)
    transform = deformation.world_transform(fixed, moving)
    extent = np.array(SHAPE) - 1 + 2 * beyond
    affine = np.diag([spacing, spacing, spacing, 1.0])
    fields = []
    for centre, one in ((fixed.center, transform), (moving.center, transform.inverse())):
        affine[:3, 3] = centre - extent / 2
        grid = Grid(tuple((extent / spacing).astype(int) + 1), affine.copy())
        fields.append(one.to_displacement(grid).displacement / spacing)
    return fields


def test_cut_off_at_the_faces_the_written_transform_folds():
    """What a margin is for; inside the box nothing folds."""
    deformation = without_folds(Deformation(AFFINE, strong_at_the_faces(), SHAPE))
    assert metrics.folds(deformation.phi).count == 0
    assert metrics.folds(sampled(deformation, 1.0)[0]).count > 20


@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_with_a_margin_nothing_folds_on_any_grid(spacing):
    deformation = without_folds(with_margin(Deformation(AFFINE, strong_at_the_faces(), SHAPE), bone()))
    for displacement in sampled(deformation, spacing):
        assert not metrics.folded_cells(displacement).any()


def test_the_flow_of_the_bone_stays():
    before = Deformation(AFFINE, strong_at_the_faces(), SHAPE)
    after = with_margin(before, bone())
    change = np.linalg.norm(after.in_box(after.phi) - before.phi, axis=-1)[bone()]
    assert np.linalg.norm(before.phi, axis=-1)[bone()].mean() > 1
    # At the very faces exp(v) itself was cut off: what flows out of the box goes on flowing now.
    assert np.median(change) < 0.01 and change.mean() < 0.1


def test_beyond_the_reach_there_is_the_affine_alone():
    deformation = with_margin(Deformation(AFFINE, strong_at_the_faces(), SHAPE), bone())
    faces = [deformation.phi.take(end, axis) for axis in range(3) for end in (0, -1)]
    assert max(np.abs(face).max() for face in faces) == 0
    distance = ndimage.distance_transform_edt(~np.pad(bone(), [(pad, pad) for pad in deformation.padding]))
    assert np.abs(deformation.phi[distance > FAR + 3]).max() < 1e-6
    assert np.abs(deformation.phi[distance < 6]).max() > 1


def test_a_shift_near_the_bone():
    """A constant velocity: the bone and what is within some voxels of it move by just that."""
    velocity = np.broadcast_to(np.float32((0.5, 0, -1)), (*LATTICE, 3))
    deformation = with_margin(Deformation(AFFINE, velocity, SHAPE), bone())
    inside = deformation.in_box(deformation.phi)[bone()]
    np.testing.assert_allclose(inside, np.broadcast_to((0.5, 0, -1) * deformation.step, inside.shape), atol=1e-4)


def test_the_inverse_undoes_it_round_the_bone():
    deformation = without_folds(with_margin(Deformation(AFFINE, strong_at_the_faces(), SHAPE), bone()))
    near = ndimage.binary_dilation(np.pad(bone(), [(pad, pad) for pad in deformation.padding]), iterations=5)
    error = metrics.inverse_consistency_error(deformation.phi, deformation.inverse, spacing=(1, 1, 1), mask=near)
    assert error.mean < 0.05 and error.maximum < 0.5


def test_an_empty_mask_keeps_the_whole_box():
    before = Deformation(AFFINE, strong_at_the_faces(), SHAPE)
    after = with_margin(before, np.zeros(SHAPE, bool))
    np.testing.assert_array_equal(after.box_velocity, before.velocity)
