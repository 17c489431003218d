"""Training vertebrae changed at random while training goes: pose, size, shape and intensities, image and mask alike."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry.lattice import coarse_shape, on_lattice, smooth_noise

__all__ = ["Augment"]

_STEP = 8  # voxels between the points of the lattice that holds a deformation


@dataclass(frozen=True)
class Augment:
    """What is changed, and by how much. Each is drawn for each vertebra of a pair by itself; only the mirror is a pair's.

    Args:
        flip: mirror both vertebrae of every second pair left-right.
        rotation: standard deviation in degrees, about each axis.
        translation: in voxels, along each axis.
        scale: as a fraction; `anisotropy` likewise, along each axis by itself.
        deformation: root mean square in voxels, along each axis, of a displacement that is smooth over `smoothness` voxels
            (at most 1.5, so that nothing folds).
        gain: of the factor on intensities, as a fraction; `gamma` of the logarithm of a power, `offset` of what is added.
        noise: the largest standard deviation of white noise; intensities lie in [0, 1].

    Normal draws are cut at two standard deviations. A vertebra stays inside its box: where it would not, it is moved back,
    and changed less.
    """

    flip: bool = True
    rotation: float = 4.0
    translation: float = 3.0
    scale: float = 0.04
    anisotropy: float = 0.02
    deformation: float = 0.8
    smoothness: float = 10.0
    gain: float = 0.1
    gamma: float = 0.15
    offset: float = 0.02
    noise: float = 0.04

    def __call__(self, image, label, rng):
        """One vertebra changed.

        Args:
            image: (X, Y, Z) in [0, 1], 0 outside of the vertebra.
            label: (X, Y, Z) bool, or None: then what is not 0 is the vertebra.
            rng: numpy Generator; the same one gives the same.

        Returns:
            (image float32, label bool or None); the image is 0 outside of the vertebra still.
        """
        mask = label if label is not None else image != 0
        box = ndimage.find_objects(mask.astype(np.uint8))
        if not box:
            return np.asarray(image, np.float32), label
        values, inside, region = self._moved(image, mask, box[0], rng)
        values = self._toned(values, inside, rng)
        changed = np.zeros(mask.shape, np.float32)
        changed[region] = values
        if label is not None:
            label = np.zeros(mask.shape, bool)
            label[region] = inside
        return changed, label

    def _moved(self, image, mask, box, rng):
        """(values, inside, region): the vertebra in its new pose and shape, in a region of the box (three slices)."""
        shape = np.array(mask.shape)
        low, high = (np.array([getattr(side, end) for side in box], float) for end in ("start", "stop"))
        centre = (low + high - 1) / 2
        voxels = (np.argwhere(mask[box]) + low - centre).astype(np.float32)
        drawn = [_normal(rng, n) for n in (3, 1, 3, 3)]
        # The lattice covers the vertebra with room around, whatever becomes of its pose.
        room = 12
        extent = np.ceil(high - low).astype(int) + 2 * room
        lattice = coarse_shape(extent, _STEP)
        waves = np.stack([smooth_noise(rng, lattice, self.smoothness / _STEP) for _ in range(3)])
        size = min(self.deformation, 1.5)
        waves = size * np.clip(waves, -2.5, 2.5)
        for mildness in (1.0, 0.5, 0.25, 0.0):
            matrix = self._matrix(*(mildness * d for d in drawn[:3]))
            placed = voxels @ matrix.T.astype(np.float32) + centre
            reach = mildness * np.abs(waves).max(axis=(1, 2, 3), initial=0) + 1
            first, last = placed.min(axis=0) - reach, placed.max(axis=0) + reach
            if (last - first <= shape - 1).all():
                break
        shift = self.translation * drawn[3]
        # Too large for its box even as it was: it stays where it is.
        shift = np.where(last - first <= shape - 1, np.clip(shift, -first, shape - 1 - last), 0)
        start = np.maximum(np.floor(first + shift - 1), 0).astype(int)
        stop = np.minimum(np.ceil(last + shift + 1), shape - 1).astype(int) + 1
        axes = [np.arange(a, b) - s for a, b, s in zip(start, stop, shift, strict=True)]  # before the shift
        points = mildness * on_lattice(
            waves, [(a - c + n / 2) / _STEP for a, c, n in zip(axes, centre, extent, strict=True)]
        )
        for i, (axis, c) in enumerate(zip(axes, centre, strict=True)):
            points[i] += (axis - c).reshape([-1 if i == j else 1 for j in range(3)]).astype(np.float32)
        # Only the vertebra is sampled, out of its own bounding box with background around.
        at = np.tensordot(np.linalg.inv(matrix).astype(np.float32), points, 1)
        at += (centre - low + 1).astype(np.float32)[:, None, None, None]
        crop = [np.pad(np.asarray(a[box], np.float32), 1) for a in (image, mask)]
        value, part = (ndimage.map_coordinates(c, at, np.float32, order=1, mode="constant") for c in crop)
        inside = part > 0.5
        # At the rim, background is mixed in: what was not bone is taken out again.
        return np.where(inside, value / np.maximum(part, 0.5), 0), inside, tuple(map(slice, start, stop))

    def _matrix(self, turn, scale, sizes):
        """Matrix (3, 3) from unit-variance draws: sizes along the axes, then rotations about x, y and z."""
        matrix = np.diag(np.exp(self.scale * scale + self.anisotropy * sizes))
        for axis, angle in enumerate(np.deg2rad(self.rotation * turn)):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            about = np.eye(3)
            about[[i, j], [i, j]] = np.cos(angle)
            about[i, j], about[j, i] = -np.sin(angle), np.sin(angle)
            matrix = about @ matrix
        return matrix

    def _toned(self, values, inside, rng):
        gain, gamma, offset = _normal(rng, 3)
        noise = rng.uniform(0, self.noise)
        power = np.exp(self.gamma * gamma) if self.gamma else 1.0
        found = (1 + self.gain * gain) * values[inside] ** np.float32(power) + self.offset * offset
        found = found + noise * rng.standard_normal(len(found), np.float32)
        out = np.zeros_like(values)
        out[inside] = np.clip(found, 0, 1)
        return out


def _normal(rng, size):
    return np.clip(rng.standard_normal(size), -2, 2)
