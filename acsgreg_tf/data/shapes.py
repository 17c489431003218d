"""Vertebra shapes as signed distances: read from labels and meshes, blended between people, varied at random.

A shape is a float32 array (X, Y, Z) on the network grid (1 mm, RAS oriented, 128 x 128 x 64 by default, centred on
the vertebra's bounding box) that holds the signed distance to the bone's surface in mm, NEGATIVE inside.
"""

import nibabel as nib
import numpy as np
from scipy import ndimage

from acsgreg_tf.errors import InputError

SHAPE = (128, 128, 64)
FAR = 8.0  # mm; how far outside the bone `vary` keeps distances


def grid_affine(shape=SHAPE):
    """The 4 x 4 voxel-to-RAS affine of the network grid: 1 mm, its centre at the world's origin."""
    affine = np.eye(4)
    affine[:3, 3] = -(np.asarray(shape) - 1) / 2
    return affine


def load_label(path, label=None, *, shape=SHAPE):
    """The signed distance (X, Y, Z) in mm of one label of a NIfTI label map of any orientation and spacing.

    The label is resampled as a probability: smoothed by half a voxel along thick axes and a third along the others,
    interpolated linearly, its surface where it crosses one half. `label` may be left out where the file has one only.

    Raises InputError if the file cannot be read, the label is absent or ambiguous, or does not fit into `shape` mm.
    """
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except Exception as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error})") from error
    if data.ndim != 3:
        raise InputError(f"{path}: a label map must have 3 dimensions, not {data.ndim}")
    if label is None:
        found = np.unique(data[data != 0])
        if len(found) != 1:
            raise InputError(f"{path}: say which label to take, it has {[int(v) for v in found]}")
        label = found[0]
    mask = data == label
    if not mask.any():
        raise InputError(f"{path}: no voxel has the label {label}")
    return from_mask(mask, image.affine, shape=shape, name=path)


def from_mask(mask, affine, *, shape=SHAPE, name="mask"):
    """The signed distance of a boolean array (any shape) whose voxel-to-RAS affine is `affine` (4 x 4)."""
    voxels = np.argwhere(mask)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    reach = np.abs(affine[:3, :3]).sum(axis=1) / 2  # from a voxel's centre to its farthest face
    low, high = world.min(axis=0) - reach, world.max(axis=0) + reach
    _check_extent(high - low, shape, name)

    first = voxels.min(axis=0)
    box = np.pad(mask[tuple(slice(a, b + 1) for a, b in zip(first, voxels.max(axis=0)))], 4)
    probability = ndimage.gaussian_filter(box.astype(np.float32), np.where(spacing > 1.25, 0.5, 1 / 3))

    to_voxel = np.linalg.inv(affine) @ _centred(shape, (low + high) / 2)
    offset = to_voxel[:3, 3] - first + 4
    probability = ndimage.affine_transform(probability, to_voxel[:3, :3], offset, output_shape=shape, order=1)
    return from_probability(probability)


def load_mesh(vertices, faces, *, axes="RAS", shape=SHAPE, name="mesh"):
    """The signed distance (X, Y, Z) in mm of a triangle surface.

    `vertices` is (V, 3) in mm, `faces` (F, 3) indices into it. `axes` names where each of the mesh's own axes
    points ('LPS': x to the left, y to the back, z up). The inside is found by counting crossings along lines in three
    directions and taking the majority, so that unwelded vertices, wrong windings and small holes do no harm.

    Raises InputError for arrays or axes that make no sense, a surface that is too open to have an inside, or one that
    does not fit into `shape` mm.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise InputError(f"{name}: vertices must be finite and (V, 3), not {vertices.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"{name}: faces must be (F, 3) indices of the {len(vertices)} vertices")
    vertices = vertices @ _axes_to_ras(axes, name).T
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    _check_extent(high - low, shape, name)

    fine = 2  # sub-voxels a side
    triangles = (vertices - (low + high) / 2 + (np.asarray(shape) - 1) / 2)[faces] * fine + (fine - 1) / 2
    size = np.asarray(shape) * fine
    votes = np.zeros(size, np.uint8)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        crossed = _inside_along_z(triangles[:, :, order], size[order])
        votes += crossed.transpose(np.argsort(order))
    inside = votes >= 2
    volume = inside.sum()
    if volume == 0 or ((votes == 1) | (votes == 2)).sum() > 0.1 * volume:
        raise InputError(f"{name}: the surface is not closed: it has no clear inside")
    probability = inside.reshape(shape[0], fine, shape[1], fine, shape[2], fine).mean(axis=(1, 3, 5), dtype=np.float32)
    return from_probability(ndimage.gaussian_filter(probability, 0.4))


def from_probability(probability):
    """The signed distance (X, Y, Z) in mm to the surface where a 1 mm probability map (X, Y, Z) crosses one half.

    Voxels beside the surface take their distance from the probability's slope (to a fraction of a voxel), the others
    the distance to the nearest point of the surface so found.
    """
    inside = probability > 0.5
    near = ndimage.binary_dilation(inside) & ndimage.binary_dilation(~inside)
    slopes = np.stack([np.gradient(probability, axis=axis)[near] for axis in range(3)], axis=-1)
    steep = np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 0.1)
    # A linear slope overshoots where the map has flattened; a neighbour of the surface is at most a voxel away.
    level = np.clip((0.5 - probability[near])[:, None] / steep, -1, 1)
    foot = np.zeros((3, *probability.shape), np.float32)  # from a voxel near the surface to the surface
    foot[:, near] = (level * slopes / steep).T
    nearest = ndimage.distance_transform_edt(~near, return_distances=False, return_indices=True)
    squares = sum((n - g + f[tuple(nearest)]) ** 2 for n, g, f in zip(nearest, np.indices(near.shape), foot))
    sdf = np.sqrt(squares, dtype=np.float32) * np.where(inside, -1, 1).astype(np.float32)
    sdf[near] = level[:, 0]
    return sdf


def interpolate(sdf_a, sdf_b, t):
    """A shape between two: `sdf_a` at t = 0, `sdf_b`, brought to a's place and size, at t = 1.

    `sdf_b` is first fitted onto `sdf_a` by an affine; the distances are then blended.
    """
    matrix, offset = _fit_affine(sdf_a, sdf_b)
    moved = ndimage.affine_transform(sdf_b, matrix, offset, order=1, mode="nearest")
    moved /= np.cbrt(np.abs(np.linalg.det(matrix)))
    return ((1 - t) * sdf_a + t * moved).astype(np.float32)


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
):
    """Another vertebra like this one: `sdf` (X, Y, Z) in a random pose, size and smooth diffeomorphic deformation.

    `rng` is a numpy Generator. Standard deviations: `rotation` in degrees about each axis (cut at 12), `translation`
    in mm, `scale`, `anisotropy` and `shear` as fractions; `deformation` lists (smoothness in mm, root mean square in mm
    a component) of the velocities that are added up. The distances are sampled once, through the whole transform, and
    scaled by its mean size; beyond 8 mm outside the bone they are cut. The result keeps `margin` voxels clear of
    the box: it is moved, and where it is too large drawn again more mildly, and at last shrunk, until it fits.
    """
    shape = np.asarray(sdf.shape)
    centre = (shape - 1) / 2
    surface = np.argwhere((sdf <= 0) & (sdf > -1.5)) - centre
    for attempt in range(6):
        mild = 0.75**attempt
        matrix = _random_affine(rng, rotation * mild, scale * mild, anisotropy * mild, shear * mild)
        shift = rng.normal(0, translation, 3)
        velocity, step = _random_velocity(rng, shape, [(s, a * mild) for s, a in deformation])
        placed = surface @ matrix.T
        if np.ptp(placed, axis=0).max() < 2 * shape.max():
            back = _integrate(-velocity)
            at = ((placed + centre) / step).T
            moved = np.stack([ndimage.map_coordinates(b, at, order=1, mode="nearest") for b in back], axis=-1)
            placed = placed + moved * step
        low, high = placed.min(axis=0) + centre, placed.max(axis=0) + centre
        room = shape - 1 - 2 * margin - (high - low)
        if (room >= 0).all():
            break
    else:
        shrink = ((shape - 1 - 2 * margin) / (high - low)).min()
        matrix, velocity = shrink * _rotation(np.zeros(3)), velocity * 0
        placed = surface @ matrix.T
        low, high = placed.min(axis=0) + centre, placed.max(axis=0) + centre
    middle = centre - (low + high) / 2
    shift = np.clip(middle + shift, margin - low, shape - 1 - margin - high)

    first = np.maximum(np.floor(low + shift - FAR), 0).astype(int)
    last = np.minimum(np.ceil(high + shift + FAR), shape - 1).astype(int)
    axes = [np.arange(a, b + 1) - s for a, b, s in zip(first, last, shift)]
    field = _sample_axes(_integrate(velocity) * step, [a / step for a in axes])
    points = [f + (a - c).reshape([-1 if i == j else 1 for j in range(3)]) for i, (f, a, c) in
              enumerate(zip(field, axes, centre))]
    inverse = np.linalg.inv(matrix)
    at = [sum(inverse[i, j] * points[j] for j in range(3)) + centre[i] for i in range(3)]
    sampled = ndimage.map_coordinates(sdf, at, output=np.float32, order=1, mode="nearest")
    out = np.full(sdf.shape, FAR, np.float32)
    region = tuple(slice(a, b + 1) for a, b in zip(first, last))
    out[region] = np.minimum(sampled * np.cbrt(np.linalg.det(matrix)), FAR)
    return out


def smooth_noise(rng, shape, smoothness, step):
    """Gaussian noise (X, Y, Z), mean 0 and standard deviation about 1, smooth over `smoothness` mm.

    It is drawn on a grid `step` times coarser than `shape` and interpolated linearly.
    """
    coarse = [int(np.ceil((n - 1) / step)) + 1 for n in shape]
    noise = ndimage.gaussian_filter(rng.standard_normal(coarse, np.float32), smoothness / step, mode="wrap")
    noise /= noise.std() + 1e-6
    return _sample_axes(noise[None], [np.arange(n) / step for n in shape])[0]


def _centred(shape, middle):
    """Voxel-to-RAS affine of a 1 mm grid whose centre is at `middle` (mm)."""
    affine = grid_affine(shape)
    affine[:3, 3] += middle
    return affine


def _check_extent(extent, shape, name):
    if (extent > np.asarray(shape)).any():
        size = " x ".join(f"{e:.0f}" for e in extent)
        raise InputError(f"{name}: the vertebra is {size} mm and does not fit into {' x '.join(map(str, shape))} mm")


def _axes_to_ras(axes, name):
    """Matrix (3, 3) from coordinates whose axes point as `axes` says to RAS."""
    lines = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    if len(axes) != 3 or {lines.get(c, (None,))[0] for c in axes} != {0, 1, 2}:
        raise InputError(f"{name}: axes must be three letters, one each of R/L, A/P and S/I, not {axes!r}")
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row, sign = lines[letter]
        matrix[row, column] = sign
    return matrix


def _inside_along_z(triangles, size):
    """Boolean (X, Y, Z): voxels with an odd number of triangles (F, 3, 3; voxel units) below them."""
    # Lines a little off the voxels' centres: none meets an edge or a corner that sits on a round coordinate.
    corner = triangles - (1.3e-4, 0.7e-4, 0.0)
    low = np.clip(np.ceil(corner[:, :, :2].min(axis=1)), 0, None).astype(int)
    high = np.minimum(np.floor(corner[:, :, :2].max(axis=1)), size[:2] - 1).astype(int)
    count = np.maximum(high - low + 1, 0)
    total = count.prod(axis=1)
    which = np.repeat(np.arange(len(total)), total)
    running = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    x = low[which, 0] + running // count[which, 1]
    y = low[which, 1] + running % count[which, 1]
    a, b, c = (corner[which, k] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        v = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
        w = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area
        hit = (v >= 0) & (w >= 0) & (v + w <= 1)
        z = a[:, 2] + v * (b[:, 2] - a[:, 2]) + w * (c[:, 2] - a[:, 2])
    z = np.clip(np.ceil(z[hit]), 0, size[2]).astype(int)
    crossings = np.zeros((size[0], size[1], size[2] + 1), np.uint8)
    np.add.at(crossings, (x[hit], y[hit], z), 1)
    return (np.cumsum(crossings, axis=2, dtype=np.uint8)[:, :, :-1] & 1).astype(bool)


def _fit_affine(fixed, moving, *, step=3, iterations=15):
    """Pull affine (3, 3) and offset (3,), in voxels, that brings `moving` onto `fixed`: Gauss-Newton on distances."""
    shape = np.asarray(fixed.shape)
    fixed_inside, moving_inside = np.argwhere(fixed < 0), np.argwhere(moving < 0)
    matrix = np.diag(moving_inside.std(axis=0) / fixed_inside.std(axis=0))
    middle = fixed_inside.mean(axis=0)
    offset = moving_inside.mean(axis=0)  # pull: x -> matrix (x - middle) + offset
    slopes = np.gradient(np.clip(moving, -6, 6))
    at = np.stack(np.meshgrid(*[np.arange(0, n, step) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    target = np.clip(fixed, -6, 6)[tuple(at.T)]
    at = at[np.abs(target) < 6]
    target = target[np.abs(target) < 6]
    local = at - middle
    for _ in range(iterations):
        where = (local @ matrix.T + offset).T
        value = ndimage.map_coordinates(np.clip(moving, -6, 6), where, order=1, mode="nearest")
        slope = np.stack([ndimage.map_coordinates(s, where, order=1, mode="nearest") for s in slopes], axis=-1)
        columns = np.concatenate([(slope[:, :, None] * local[:, None, :] / 30).reshape(-1, 9), slope], axis=1)
        normal = columns.T @ columns
        normal[np.diag_indices(12)] += 1e-3 * np.trace(normal) / 12
        change = np.linalg.solve(normal, columns.T @ (target - value))
        matrix += change[:9].reshape(3, 3) / 30
        offset += change[9:]
    return matrix, offset - matrix @ middle


def _random_affine(rng, rotation, scale, anisotropy, shear):
    angles = np.clip(rng.normal(0, rotation, 3), -12, 12)
    sizes = np.exp(rng.normal(0, scale) + rng.normal(0, anisotropy, 3))
    shears = np.eye(3)
    shears[np.triu_indices(3, 1)] = rng.normal(0, shear, 3)
    return _rotation(np.deg2rad(angles)) @ shears @ np.diag(sizes)


def _rotation(angles):
    """Rotation matrix (3, 3): about x, then y, then z, by `angles` in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _random_velocity(rng, shape, scales, step=4):
    """A smooth velocity (3, x, y, z) in voxels of a grid `step` times coarser than `shape`, and `step`."""
    coarse = [int(np.ceil((n - 1) / step)) + 1 for n in shape]
    velocity = np.zeros([3, *coarse], np.float32)
    for smoothness, amplitude in scales:
        for component in velocity:
            noise = ndimage.gaussian_filter(rng.standard_normal(coarse, np.float32), smoothness / step, mode="wrap")
            component += amplitude / step * noise / (noise.std() + 1e-6)
    return velocity, step


def _integrate(velocity, squarings=5):
    """Displacement (3, x, y, z) in voxels of the flow of a stationary velocity: scaling and squaring."""
    field = velocity / 2**squarings
    grid = np.indices(field.shape[1:], np.float32)
    for _ in range(squarings):
        at = grid + field
        field = field + np.stack([ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in field])
    return field


def _sample_axes(fields, coordinates):
    """Linear interpolation of `fields` (C, x, y, z) on the lattice of three lists of coordinates, axis by axis."""
    for axis, at in enumerate(coordinates, start=1):
        at = np.clip(at, 0, fields.shape[axis] - 1)
        low = np.minimum(at.astype(int), fields.shape[axis] - 2)
        weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        before = fields.take(low, axis)
        fields = before + weight * (fields.take(low + 1, axis) - before)
    return fields
