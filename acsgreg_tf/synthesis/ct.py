"""Simulated CT intensities for a vertebra's shape.

`simulate_ct` paints what a scanner sees of a bone: a dense cortical shell of uneven thickness around a spongy
core, blurred, cut into slices and noisy. It serves where a shape is known but no CT may be used or shipped.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry.lattice import along_axis, smooth_noise

# Averaged over voxels of s mm, texture and noise that are smooth over 0.7 and 1 mm keep about s to this power of their
# standard deviation (measured: 0.70 and 0.84 at 2 mm, 0.35 and 0.52 at 4 mm).
_TEXTURE_FADES, _NOISE_FADES = -0.6, -0.4


Range = tuple[float, float]

__all__ = ["Appearance", "simulate_ct"]


@dataclass(frozen=True)
class Appearance:
    """How bone and scanner may look; each pair is a range from which a vertebra's own value is drawn.

    Args:
        shell: Thickness of the cortical shell in mm, which also varies smoothly over the surface.
        shell_hu: HU of the shell, varying likewise.
        core_hu: HU of the trabecular core.
        blur: Standard deviation of the scanner's blur, mm.
        slices: Slice thickness in mm, across z or, as in sagittal series, x.
        noise: Standard deviation of the noise, HU.
        label_error: How far the bone's true border strays from the label's, smoothly varying, in mm, as it does for
            labels drawn by hand.
    """

    shell: Range = (0.4, 1.5)
    shell_hu: Range = (500.0, 1500.0)
    core_hu: Range = (20.0, 230.0)
    blur: Range = (0.4, 0.9)
    slices: Range = (1.0, 3.0)
    noise: Range = (10.0, 120.0)
    label_error: float = 0.5


_USUAL = Appearance()


def simulate_ct(
    sdf: np.ndarray, rng: np.random.Generator, look: Appearance = _USUAL, spacing: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a CT of a vertebra.

    Args:
        sdf: Signed distance (X, Y, Z) to its surface in mm, negative inside.
        rng: The generator that is advanced.
        look: How bone and scanner may look.
        spacing: The voxels' edge in mm, 1 or more; larger voxels show the average of what they cover, so texture and
            noise are fainter there.

    Returns:
        (hu, label): (X, Y, Z) float32 in Hounsfield units, and the shape's voxels as uint8.
    """
    label = (sdf <= 0).astype(np.uint8)
    inside = np.argwhere(label)
    hu = np.full(sdf.shape, 50.0, np.float32)
    if not len(inside):
        return hu, label
    around = int(np.ceil(6 / spacing))
    first = np.maximum(inside.min(axis=0) - around, 0)
    box = tuple(slice(a, b) for a, b in zip(first, np.minimum(inside.max(axis=0) + around + 1, sdf.shape), strict=True))
    hu[box] = _bone(sdf[box], rng, look, spacing)
    blur, thickness, noise = (rng.uniform(*ends) for ends in (look.blur, look.slices, look.noise))
    hu[box] = _scan(hu[box], rng, blur / spacing, max(thickness / spacing, 1.0), noise, spacing)
    return hu, label


def _bone(sdf: np.ndarray, rng: np.random.Generator, look: Appearance, spacing: float) -> np.ndarray:
    """HU (X, Y, Z) of the bone itself, each voxel a mixture of what it covers."""
    shape = sdf.shape

    def spread(middle: float, sd: float, smoothness: float, step: float) -> np.ndarray:
        return middle + sd * smooth_noise(rng, shape, smoothness / spacing, max(int(step / spacing), 1))

    stray = spread(0.0, look.label_error, 4.0, 2)
    # Labels tend to be drawn around the bone, not through its edge.
    depth = stray + rng.normal(-0.45, 0.3) - sdf
    # Within a body the surroundings are mostly bone, within processes and pedicles mostly not.
    bulk = np.clip(ndimage.uniform_filter((sdf < 0).astype(np.float32), int(12 / spacing) | 1) * 2 - 0.6, 0, 1)

    (thin, thick), (soft, hard) = look.shell, look.shell_hu
    thickness = spread(rng.uniform(thin, thick), 0.4, 5.0, 2) * (1.7 - 1.3 * bulk)  # a body's wall is thin
    thickness = np.clip(thickness, thin / 2, 2 * thick)
    cortex_hu = np.clip(spread(rng.uniform(soft, hard), 250.0, 4.0, 2), soft, hard)

    core = rng.uniform(*look.core_hu)
    contrast = rng.uniform(0.5, 1.5)
    marrow = spread(core, 30.0 * contrast, 8.0, 4) + spread(0, 35.0 * contrast, 3.0, 2)
    texture = rng.standard_normal(shape, np.float32)
    if spacing == 1:
        marrow += 80.0 * contrast * ndimage.gaussian_filter(texture, 0.7) / 0.26
    else:  # texture finer than a voxel: its average over a voxel, nearly white
        marrow += 80.0 * contrast * spacing**_TEXTURE_FADES * texture
    marrow += (1 - bulk) * rng.uniform(20, 200)  # pedicles and processes are denser
    below_shell = np.clip(depth - thickness, 0, None)
    marrow += rng.uniform(50, 350) * np.exp(-below_shell / 1.2)  # so is the bone just below the shell
    marrow = np.maximum(marrow, -80)

    # The part of a voxel that lies below a surface rises linearly over the voxel's width.
    bone = np.clip(depth / spacing + 0.5, 0, 1)
    spongy = np.clip((depth - thickness) / spacing + 0.5, 0, 1)
    tissue = spread(50.0, 20.0, 4.0, 2)
    return tissue * (1 - bone) + cortex_hu * (bone - spongy) + marrow * spongy


def _scan(
    hu: np.ndarray, rng: np.random.Generator, blur: float, thickness: float, noise: float, spacing: float
) -> np.ndarray:
    """`hu` as a scanner shows it: blurred, averaged over slices (voxels), noisy, and resampled to its voxels."""
    axis = 2 if rng.random() < 0.75 else 0
    spread = np.full(3, blur)
    spread[axis] = np.sqrt(blur**2 + max(thickness**2 - 1, 0) / 12)  # a slice averages over a box
    hu = ndimage.gaussian_filter(hu, spread)
    n = hu.shape[axis]
    start = rng.uniform(0, thickness)
    at = np.clip(np.arange(start - thickness, n - 1 + thickness, thickness), 0, n - 1)
    stack = along_axis(hu, at, axis)
    grain = rng.standard_normal(stack.shape, np.float32)
    coarse = rng.standard_normal(stack.shape, np.float32)
    if spacing == 1:
        stack = stack + noise * (0.8 * grain + 0.6 * ndimage.gaussian_filter(coarse, 1.0) / 0.15)
    else:
        stack = stack + noise * (0.8 * spacing**-1.5 * grain + 0.6 * spacing**_NOISE_FADES * coarse)
    return along_axis(stack, (np.arange(n) - start + thickness) / thickness, axis)
