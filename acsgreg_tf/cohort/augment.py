"""Training vertebrae changed at random in pose, size, shape and intensities, image and mask alike."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from acsgreg_tf.geometry.boxes import Box, bounding_box
from acsgreg_tf.geometry.lattice import coarse_shape, on_lattice, smooth_noise
from acsgreg_tf.synthesis.draws import cut_normal

__all__ = ["Augment"]

_STEP = 8  # voxels between the points of the lattice that holds a deformation
_ROOM = 12  # voxels by which the lattice reaches beyond the vertebra, whatever becomes of its pose
_MOST = 1.5  # voxels; a larger deformation could fold


@dataclass(frozen=True)
class Augment:
    """What is changed, and by how much; drawn for each vertebra by itself, and only the mirror for both of a pair.

    Normal draws are cut at two standard deviations. A vertebra stays inside its box: where it would not, it is moved
    back, and changed less.

    Args:
        flip: Mirror both vertebrae of every second pair left-right (by the caller, who sees the pair).
        rotation: Standard deviation in degrees, about each axis.
        translation: In voxels, along each axis.
        scale: As a fraction.
        anisotropy: As a fraction, along each axis by itself.
        deformation: Root mean square in voxels, along each axis, of a smooth displacement; at most 1.5, so that nothing
            folds.
        smoothness: Of the displacement, in voxels.
        gain: Of the factor on intensities, as a fraction.
        gamma: Of the logarithm of a power of the intensities.
        offset: Of what is added to the intensities, which lie in [0, 1].
        noise: The largest standard deviation of white noise.
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

    def __call__(
        self, image: np.ndarray, label: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Change one vertebra.

        Args:
            image: (X, Y, Z) in [0, 1], 0 outside of the vertebra.
            label: (X, Y, Z) bool, or None: then what is not 0 is the vertebra.
            rng: The same state gives the same change.

        Returns:
            (image float32, label bool or None); the image is still 0 outside of the vertebra.
        """
        return self.with_parts(image, label, None, rng)[:2]

    def with_parts(
        self, image: np.ndarray, label: np.ndarray | None, parts: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Change one vertebra and its map of parts alike.

        Args:
            image: As in a call.
            label: As in a call.
            parts: (X, Y, Z) uint8, 0 where there is none; or None.
            rng: As in a call; the parts change nothing in what is drawn.

        Returns:
            (image float32, label bool or None, parts uint8, 0 outside of the vertebra, or None).
        """
        mask = label if label is not None else image != 0
        if not mask.any():
            return np.asarray(image, np.float32), label, parts
        box = bounding_box(mask)
        values, inside, region, source = self._moved(image, mask, box, rng)
        changed = np.zeros(mask.shape, np.float32)
        changed[region] = self._toned(values, inside, rng)
        moved, moved_parts = None, None
        if label is not None:
            moved = np.zeros(mask.shape, bool)
            moved[region] = inside
        if parts is not None:
            moved_parts = np.zeros(mask.shape, np.uint8)
            own = ndimage.map_coordinates(np.pad(parts[box], 1), source, order=0, mode="constant")
            moved_parts[region] = np.where(inside, own, 0)
        return changed, moved, moved_parts

    def _moved(
        self, image: np.ndarray, mask: np.ndarray, box: Box, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, Box, np.ndarray]:
        """(values, inside, region, source): the vertebra in its new pose and shape, in a region of the volume.

        `source` (3, ...) is where the region's voxels come from, in voxels of the box with a voxel around.
        """
        shape = np.array(mask.shape)
        low, high = (np.array([getattr(side, end) for side in box], float) for end in ("start", "stop"))
        centre = (low + high - 1) / 2
        turn, scale, sizes, move = (cut_normal(rng, n) for n in (3, 1, 3, 3))
        extent = np.ceil(high - low).astype(int) + 2 * _ROOM
        waves = self._waves(rng, coarse_shape(extent, _STEP))
        voxels = (np.argwhere(mask[box]) + low - centre).astype(np.float32)
        for mildness in (1.0, 0.5, 0.25, 0.0):
            matrix = self._matrix(mildness * turn, mildness * scale, mildness * sizes)
            placed = voxels @ matrix.T.astype(np.float32) + centre
            reach = mildness * np.abs(waves).max(axis=(1, 2, 3), initial=0) + 1
            first, last = placed.min(axis=0) - reach, placed.max(axis=0) + reach
            if (last - first <= shape - 1).all():
                break
        # Along an axis where it is too large for its box even unchanged, it stays where it is.
        shift = self.translation * move
        shift = np.where(last - first <= shape - 1, np.clip(shift, -first, shape - 1 - last), 0)
        start = np.maximum(np.floor(first + shift - 1), 0).astype(int)
        stop = np.minimum(np.ceil(last + shift + 1), shape - 1).astype(int) + 1
        axes = [np.arange(a, b) - s for a, b, s in zip(start, stop, shift, strict=True)]  # before the shift
        points = mildness * on_lattice(
            waves, [(a - c + n / 2) / _STEP for a, c, n in zip(axes, centre, extent, strict=True)]
        )
        for i, (axis, c) in enumerate(zip(axes, centre, strict=True)):
            points[i] += (axis - c).reshape([-1 if i == j else 1 for j in range(3)]).astype(np.float32)
        source = np.tensordot(np.linalg.inv(matrix).astype(np.float32), points, 1)
        source += (centre - low + 1).astype(np.float32)[:, None, None, None]
        values, inside = _sampled(image, mask, box, source)
        region = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
        return values, inside, region, source

    def _waves(self, rng: np.random.Generator, lattice: tuple[int, ...]) -> np.ndarray:
        """The displacement (3, x, y, z) in voxels on its lattice."""
        waves = np.stack([smooth_noise(rng, lattice, self.smoothness / _STEP) for _ in range(3)])
        return min(self.deformation, _MOST) * np.clip(waves, -2.5, 2.5)

    def _matrix(self, turn: np.ndarray, scale: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Matrix (3, 3) from unit-variance draws: sizes along the axes, then rotations about x, y and z."""
        rotation = Rotation.from_euler("xyz", self.rotation * turn, degrees=True).as_matrix()
        return rotation @ np.diag(np.exp(self.scale * scale + self.anisotropy * sizes))

    def _toned(self, values: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The values with another gain, power and offset and with noise, inside the vertebra."""
        gain, gamma, offset = cut_normal(rng, 3)
        noise = rng.uniform(0, self.noise)
        power = np.exp(self.gamma * gamma) if self.gamma else 1.0
        toned = (1 + self.gain * gain) * values[inside] ** np.float32(power) + self.offset * offset
        toned = toned + noise * rng.standard_normal(len(toned), np.float32)
        out = np.zeros_like(values)
        out[inside] = np.clip(toned, 0, 1)
        return out


def _sampled(image: np.ndarray, mask: np.ndarray, box: Box, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask at points `at` (3, ...), in voxels of the box with a voxel of background around."""
    value, share = (
        ndimage.map_coordinates(np.pad(np.asarray(a[box], np.float32), 1), at, np.float32, order=1, mode="constant")
        for a in (image, mask)
    )
    inside = share > 0.5
    # At the rim, background is mixed in; dividing by the vertebra's share takes it out again.
    return np.where(inside, value / np.maximum(share, 0.5), 0), inside
