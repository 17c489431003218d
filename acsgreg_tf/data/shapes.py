"""Vertebra shapes as signed distances: read from labels and meshes, blended between people, varied.

A shape is a float32 array (X, Y, Z) on the network grid (1 mm, RAS oriented, 128 x 128 x 64 by default,
centred on the vertebra's bounding box) of signed distances to the bone's surface in mm, NEGATIVE inside.
"""

import numpy as np
from scipy import ndimage

from acsgreg_tf.data._lattice import coarse_shape, on_lattice, sample, smooth_noise
from acsgreg_tf.data._mesh_inside import votes_inside
from acsgreg_tf.data.correspondence import STEP, correspond, inverse_part
from acsgreg_tf.data.images import read_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.network import network_grid

SHAPE = (128, 128, 64)
FAR = 8.0  # mm; how far outside the bone `interpolate` and `vary` keep distances


def load_label(path, label=None, *, shape=SHAPE):
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


def from_mask(mask, affine, *, shape=SHAPE, name="mask"):
    """The signed distance of a boolean array (any shape) whose voxel-to-RAS affine is `affine` (4 x 4).

    The mask is resampled as a probability: smoothed by half a voxel along axes coarser than 1.25 mm and by a
    third along the others, interpolated linearly; its surface is where it crosses one half.

    Raises InputError if the mask is empty or does not fit into `shape` mm.
    """
    voxels = np.argwhere(mask)
    if not len(voxels):
        raise InputError(f"{name}: the mask is empty")
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    reach = np.abs(affine[:3, :3]).sum(axis=1) / 2  # from a voxel's centre to its farthest face
    low, high = world.min(axis=0) - reach, world.max(axis=0) + reach
    _check_extent(high - low, shape, name)

    first = voxels.min(axis=0)
    box = mask[tuple(slice(a, b + 1) for a, b in zip(first, voxels.max(axis=0), strict=True))]
    box = np.pad(box, 4).astype(np.float32)
    coarse = np.linalg.norm(affine[:3, :3], axis=0) > 1.25
    probability = ndimage.gaussian_filter(box, np.where(coarse, 1 / 2, 1 / 3))

    to_voxel = np.linalg.inv(affine) @ network_grid((low + high) / 2, shape).affine
    offset = to_voxel[:3, 3] - first + 4
    return from_probability(
        ndimage.affine_transform(probability, to_voxel[:3, :3], offset, output_shape=tuple(shape), order=1)
    )


def load_mesh(vertices, faces, *, axes="RAS", shape=SHAPE, name="mesh"):
    """The signed distance (X, Y, Z) in mm of a triangle surface.

    `vertices` is (V, 3) in mm, `faces` (F, 3) indices into it. `axes` names where each of the mesh's own axes
    points ('LPS': x to the left, y to the back, z up). The inside is found by counting crossings along lines
    in three directions and taking the majority, so that unwelded vertices, wrong windings and small holes do
    no harm.

    Raises InputError for arrays or axes that make no sense, a surface that is too open to have an inside, or
    one that does not fit into `shape` mm.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise InputError(f"{name}: vertices must be finite and (V, 3), got shape {vertices.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.dtype.kind not in "iu":
        raise InputError(
            f"{name}: faces must be whole numbers and (F, 3), got {faces.dtype} of shape {faces.shape}"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"{name}: faces must be indices of the {len(vertices)} vertices")
    corners = (vertices @ _axes_to_ras(axes, name).T)[faces]
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    _check_extent(high - low, shape, name)

    fine = 2  # sub-voxels a side
    corners = (corners - (low + high) / 2 + (np.array(shape) - 1) / 2) * fine + (fine - 1) / 2
    votes = votes_inside(corners, [n * fine for n in shape])
    inside = votes >= 2
    doubtful = (votes == 1) | (votes == 2)
    if doubtful.sum() >= 0.1 * inside.sum():
        raise InputError(f"{name}: the surface is not closed, it has no clear inside")
    blocks = inside.reshape(shape[0], fine, shape[1], fine, shape[2], fine)
    return from_probability(ndimage.gaussian_filter(blocks.mean(axis=(1, 3, 5), dtype=np.float32), 0.4))


def from_probability(probability):
    """The signed distance (X, Y, Z) in mm to where a 1 mm probability map (X, Y, Z) crosses one half.

    Voxels beside the surface take their distance from the crossings on the lines to their neighbours, the
    others the distance to the point of the surface that belongs to the nearest of these: the surface is
    exact, distances beside a curved one to a fraction of a voxel.
    """
    inside = probability > 0.5 - 1e-5  # voxels right on the surface are bone, however their value is rounded
    nearness = np.zeros((3, *probability.shape), np.float32)  # 1 / way to the surface, along each axis
    for axis in range(3):
        lower, upper, p, q, here, there = (
            part for a in (nearness[axis], probability, inside) for part in _neighbours(a, axis)
        )
        crossed = here != there
        fraction = np.clip((p[crossed] - 0.5) / (p[crossed] - q[crossed]), 1e-3, 1 - 1e-3)
        lower[crossed] = np.maximum(lower[crossed], 1 / fraction)
        upper[crossed] = 1 / (1 - fraction)
    beside = nearness.any(axis=0)

    outward = -np.stack(np.gradient(probability))[:, beside]
    outward /= np.linalg.norm(outward, axis=0) + 1e-6
    shortest = nearness[:, beside].argmax(axis=0)[None]
    away = np.take_along_axis(np.abs(outward) / np.maximum(nearness[:, beside], 1e-6), shortest, 0)
    normal, foot = np.zeros_like(nearness), np.zeros_like(nearness)  # the foot: from a voxel to the surface
    normal[:, beside] = outward
    foot[:, beside] = outward * away * np.where(inside[beside], 1, -1)

    nearest = ndimage.distance_transform_edt(~beside, return_distances=False, return_indices=True)
    squares, across = 0, 0
    for start, end, f, n in zip(np.indices(beside.shape, np.float32), nearest, foot, normal, strict=True):
        way = end.astype(np.float32) - start + f[tuple(nearest)]
        squares, across = squares + way**2, across + way * n[tuple(nearest)]
    squares -= np.clip(squares - across**2, 0, 0.5)  # the foot may lie half a voxel beside the nearest point
    return np.sqrt(squares) * np.where(inside, np.float32(-1), np.float32(1))


def from_crop(mask):
    """The signed distance (X, Y, Z) in mm of a mask (X, Y, Z) on a 1 mm grid, where it lies.

    `mask` is bool, or tells in [0, 1] how much of each voxel is inside. It is smoothed a little first, which takes the voxels'
    steps off the surface. None for a mask without a surface: an empty one, one that fills the grid, a thread of single voxels.
    """
    smoothed = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    inside = smoothed > 0.5
    if not inside.any() or inside.mean() > 0.98:
        return None
    return from_probability(smoothed)


def _neighbours(values, axis):
    """Views of `values` without its last and without its first layer along an axis."""
    along = np.moveaxis(values, axis, 0)
    return along[:-1], along[1:]


def coarser(sdf, factor):
    """A signed distance (X, Y, Z) on a grid of voxels `factor` times as large, about the same middle: means of blocks.

    `factor` is a whole number that divides X, Y and Z. Distances stay in mm; near a flat surface they stay what they were.
    """
    x, y, z = (n // factor for n in sdf.shape)
    return sdf.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5), dtype=np.float32)


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
            sdf / np.float32(spacing), rng, rotation=rotation, translation=translation / spacing, scale=scale,
            anisotropy=anisotropy, shear=shear, deformation=deformation, margin=margin,
        )  # fmt: skip
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


def _check_extent(extent, shape, name):
    if (extent > np.array(shape)).any():
        size, limit = (" x ".join(f"{e:.0f}" for e in v) for v in (extent, shape))
        raise InputError(f"{name}: the vertebra measures {size} mm and must fit into {limit} mm")


def _axes_to_ras(axes, name):
    """Matrix (3, 3) from coordinates whose axes point as `axes` says to RAS."""
    lines = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    if len(axes) != 3 or {lines.get(letter, (None,))[0] for letter in axes} != {0, 1, 2}:
        raise InputError(f"{name}: axes must be three letters, one each of R/L, A/P and S/I, not {axes!r}")
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row, sign = lines[letter]
        matrix[row, column] = sign
    return matrix


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
