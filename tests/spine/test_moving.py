"""A moving scan through a spine's transform: as through the exact transform at every voxel."""

import numpy as np

from acsgreg_tf.geometry import Grid, network_grid, resample, resample_label
from acsgreg_tf.io.images import Image
from acsgreg_tf.spine import blend
from acsgreg_tf.spine.moving import move_scan
from tests.spine.cases import bent, bones


def test_the_scan_is_moved_as_by_the_transform_at_every_voxel():
    whole = blend(bones([bent(number) for number in range(2)]))
    place = whole.rigid.apply(np.zeros(3))
    grid = network_grid(place, (50, 50, 60), 2.0)
    points = grid.points() - place
    smooth = Image(np.sin(points / 9).sum(axis=-1).astype(np.float32), grid, "smooth")
    labels = Image(((points // 25).astype(int).sum(axis=-1) % 3).astype(np.int16), grid, "labels")
    linear = np.array([[0.9, 0.1, 0], [-0.1, 0.9, 0], [0, 0, 1.3]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, (-45, -35, -70)
    fixed = Grid((100, 90, 100), affine)
    moved, moved_labels = move_scan(smooth, labels, fixed, whole)
    exact = resample(smooth.data, grid, fixed, whole.transform, fill=smooth.data.min())
    # Where the scan ends a hundredth of a voxel decides.
    seen = resample(np.ones_like(smooth.data), grid, fixed, whole.transform) == 1
    assert np.abs(moved.data - exact)[seen].max() < 0.003 and np.median(moved.data[seen]) != 0
    other = moved_labels.data != resample_label(labels.data, grid, fixed, whole.transform)
    assert other.mean() < 1e-3 and moved_labels.data.dtype == np.int16
