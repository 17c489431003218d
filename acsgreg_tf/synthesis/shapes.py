"""Vertebra shapes as signed distances: read from labels and meshes, blended between people, varied.

A shape is a float32 array (X, Y, Z) on the network grid (1 mm, RAS oriented, 128 x 128 x 64 by default,
centred on the vertebra's bounding box) of signed distances to the bone's surface in mm, NEGATIVE inside.
"""

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_mask
from acsgreg_tf.geometry.lattice import coarse_shape, on_lattice, sample, smooth_noise
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.io.images import read_label
from acsgreg_tf.synthesis.correspondence import STEP, correspond, inverse_part

FAR = 8.0  # mm; how far outside the bone `interpolate` and `vary` keep distances


def load_label(path, label=None, *, shape=NETWORK_SHAPE):
    """The signed distance (X, Y, Z) in mm of one label of a label map, whatever its orientation and spacing.

    The formats are those of `images.read_label`. `label` may be left out where the file has one label only.

    Raises InputError if the file cannot be read, the label is absent or ambiguous, or does not fit into
    `shape` mm.
    """
    image = read_label(path)
    if label is None:
        found = np.unique(image.data[image.data != 0])
        if len(found) != 1:
            found = ", ".join(map(str, found)) or "none"
            raise InputError(f"{path}: say which label to take, it has {found}")
        label = found[0]
    mask = image.data == label
    if not mask.any():
        raise InputError(f"{path}: no voxel has the label {label}")
    return from_mask(mask, image.grid.affine, shape=shape, name=path)


def interpolate(sdf_a, sdf_b, t, field=None):
    """A shape between two people: `sdf_a` at t = 0, nearly `sdf_b` at t = 1.

    Points that correspond are averaged, and the distances there. `field` is `correspondence.correspond(sdf_a,
    sdf_b)`; give it where the same two are blended more than once. Distances of the result hold near the
    surface only; `vary` puts them right.
    """
    field = correspond(sdf_a, sdf_b) if field is None else field
    back = inverse_part(field, t)
    points = np.indices(field.shape[1:], np.float32)
    on = sample(field, points + back / STEP)
    near = np.argwhere(np.minimum(sdf_a, sdf_b) <= 0)
    first = np.maximum(near.min(axis=0) - int(FAR), 0)
    region = tuple(slice(a, b) for a, b in zip(first, near.max(axis=0) + int(FAR) + 1, strict=True))
    at_a = np.indices(sdf_a.shape, np.float32)[(slice(None), *region)]
    axes = [np.arange(n)[r] / STEP for n, r in zip(sdf_a.shape, region, strict=True)]
    at_a = at_a + on_lattice(back, axes)
    at_b = at_a + on_lattice(on, axes)
    out = np.full(sdf_a.shape, FAR, np.float32)
    out[region] = (1 - t) * sample(sdf_a[None], at_a)[0] + t * sample(sdf_b[None], at_b)[0]
    return np.minimum(out, FAR)


def vary(
    sdf,
    rng,
    *,
    rotation=3.0,
    translation=1.0,
    scale=0.05,
    anisotropy=0.03,
    shear=0.02,
    deformation=((24.0, 1.2), (12.0, 0.8), (6.0, 0.5)),
    margin=1,
    spacing=1.0,
):
    """Another vertebra like `sdf` (X, Y, Z): in a random pose, of a random size, smoothly deformed.

    `rng` is a numpy Generator. Standard deviations, each cut at two of them: `rotation` in degrees about each
    axis, `translation` in mm from the middle of the box, `scale`, `anisotropy` and `shear` as fractions.
    `deformation` lists (smoothness in mm, root mean square in mm a component) of the stationary velocities
    whose sum deforms the shape, diffeomorphically. The distances are sampled once, through the whole
    transform, and made to hold to first order again; beyond 8 mm outside the bone they are cut. The result
    keeps `margin` voxels clear of the box: where it is too large it is drawn again more mildly, at last
    merely shrunk, until it fits. `spacing` is the voxels' edge in mm.
    """
    if spacing != 1:
        deformation = [(smoothness / spacing, size / spacing) for smoothness, size in deformation]
        varied = vary(
            sdf / np.float32(spacing),
            rng,
            rotation=rotation,
            translation=translation / spacing,
            scale=scale,
            anisotropy=anisotropy,
            shear=shear,
            deformation=deformation,
            margin=margin,
        )
        return np.minimum(varied * np.float32(spacing), FAR)
    shape = np.array(sdf.shape)
    centre = (shape - 1) / 2
    surface = np.argwhere((sdf <= 0) & (sdf > -1.5)) - centre
    room = shape - 1 - 2 * margin
    for mildness in 0.75 ** np.arange(6):
        matrix = _random_affine(rng, mildness * np.array([rotation, scale, anisotropy, shear]))
        velocity = np.zeros((3, *coarse_shape(shape, STEP)), np.float32)
        for smoothness, size in deformation:
            velocity += mildness * size * _random_velocity(rng, shape, smoothness)
        placed = _push(surface @ matrix.T + centre, velocity)
        low, high = placed.min(axis=0), placed.max(axis=0)
        if (high - low <= room).all():
            break
    else:
        matrix, velocity = np.eye(3) * min(1, (room / np.ptp(surface, axis=0)).min()), velocity * 0
        placed = _push(surface @ matrix.T + centre, velocity)
        low, high = placed.min(axis=0), placed.max(axis=0)
    shift = centre - (low + high) / 2 + translation * _normal(rng, 3)
    shift = np.clip(shift, margin - low, shape - 1 - margin - high)

    first = np.maximum(np.floor(low + shift - FAR), 0).astype(int)
    last = np.minimum(np.ceil(high + shift + FAR), shape - 1).astype(int)
    axes = [np.arange(a, b + 1) - s for a, b, s in zip(first, last, shift, strict=True)]  # before the shift
    points = on_lattice(_flow(velocity), [a / STEP for a in axes])
    for i, (axis, c) in enumerate(zip(axes, centre, strict=True)):
        points[i] += (axis - c).reshape([-1 if i == j else 1 for j in range(3)])
    at = np.tensordot(np.linalg.inv(matrix).astype(np.float32), points, 1) + centre[:, None, None, None]
    out = np.full(sdf.shape, FAR, np.float32)
    region = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    out[region] = np.minimum(_to_first_order(sample(sdf[None], at)[0]), FAR)
    return out


def _normal(rng, size):
    return np.clip(rng.standard_normal(size), -2, 2)


def _random_affine(rng, deviations):
    """Matrix (3, 3): sizes along the axes, then shears, then a rotation."""
    rotation, scale, anisotropy, shear = deviations
    sizes = np.exp(scale * _normal(rng, 1) + anisotropy * _normal(rng, 3))
    shears = np.eye(3)
    shears[np.triu_indices(3, 1)] = shear * _normal(rng, 3)
    (cx, cy, cz), (sx, sy, sz) = (f(np.deg2rad(rotation * _normal(rng, 3))) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x @ shears @ np.diag(sizes)


def _random_velocity(rng, shape, smoothness):
    """A smooth velocity (3, x, y, z) on the lattice of `STEP` mm, of root mean square 1 a component."""
    return np.stack([smooth_noise(rng, coarse_shape(shape, STEP), smoothness / STEP) for _ in range(3)])


def _flow(velocity, squarings=5):
    """Displacement (3, x, y, z) in mm of the flow of a stationary velocity in mm: scaling and squaring."""
    field = velocity / 2**squarings
    points = np.indices(field.shape[1:], np.float32)
    for _ in range(squarings):
        field = field + sample(field, points + field / STEP)
    return field


def _push(points, velocity):
    """Where points (N, 3), in voxels, come to lie when the image around them is pulled through the flow."""
    return points + sample(_flow(-velocity), points.T / STEP).T


def _to_first_order(sdf):
    """Stretched distances divided by their slope; within limits, since along ridges it vanishes."""
    slope = np.sqrt(sum(g**2 for g in np.gradient(sdf)))
    return sdf / np.clip(slope, 0.7, 1.4)
