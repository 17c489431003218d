"""Lumbar vertebrae made to order: one number and a level give one vertebra as a signed distance field.

The shape is a smooth union of analytic solids placed by published morphometry (`phantom_parameters`): body with
kidney-shaped, hollow endplates, a waist and osteophytic rims; pedicles; laminae; spinous, transverse and articular
processes; the canal cut free. What it is not: a scan. `ct` turns the field into an image.
"""
import numpy as np

from ..errors import InputError
from .phantom_parameters import LEVELS, Parameters, generator, level_index, parameters
from .phantom_sdf import polygon_plate, smooth_max, smooth_min, superellipse, sweep

__all__ = ["FAR", "LEVELS", "Parameters", "parameters", "vertebra"]

FAR = 8.0  # mm; distances outside are cut off here
MAX_HEIGHT = 62.0  # mm; 64 less a voxel of background below and above
LOWEST_TILT = -8.0  # degrees; the sagittal tilt at which a vertebra is about as low as it gets


def vertebra(seed, level, shape=(128, 128, 64), spacing=1.0):
    """The signed distance field of person `seed`'s vertebra at `level`, in mm, negative inside.

    seed: whole number >= 0. level: "L1" .. "L5". shape: (X, Y, Z) voxels, x left to right, y back to front,
    z up (RAS). spacing: voxel edge in mm. The vertebra's bounding box is centred on the grid's centre
    ((shape - 1) / 2); the same seed is the same vertebra on every grid.
    Returns float32 (X, Y, Z). Distances hold to first order near the surface and are cut off at FAR mm outside.
    Raises InputError for an unknown level, a seed below 0, or a shape or spacing that is not positive.
    """
    shape = tuple(shape)
    if len(shape) != 3 or any(int(s) != s or s < 1 for s in shape):
        raise InputError(f"shape {shape}: a grid has three positive whole numbers of voxels")
    if not np.isfinite(spacing) or spacing <= 0:
        raise InputError(f"spacing {spacing!r}: a voxel edge is a positive number of mm")
    p = parameters(seed, level)
    solids, noise = _solids(p), _Noise(generator(seed, level_index(level) + 1, 1), p.roughness)
    turn, low, high = _lie_down(p, solids, noise)
    centre = (low + high) / 2
    axes = [(np.arange(s) - (s - 1) / 2) * spacing + c for s, c in zip(shape, centre)]
    crop = tuple(slice(*np.searchsorted(a, (lo - FAR, hi + FAR))) for a, lo, hi in zip(axes, low, high))
    out = np.full(shape, FAR, np.float32)
    field = _evaluate([a[c] for a, c in zip(axes, crop)], solids, turn, noise)
    out[crop] = np.minimum(_rescale(field, spacing), FAR)
    return out


class _Solid:
    """A signed distance, the few points and the radius that bound it (own axes, mm), and how wide it blends.

    A solid with `cut` is taken away from what was joined before it.
    """

    def __init__(self, distance, hull, radius, blend, cut=False):
        self.distance, self.hull, self.radius = distance, np.asarray(hull, float), radius
        self.blend, self.cut = blend, cut


def _sweep(start, end, start_radii, end_radii, axes=None, blend=3.0, cut=False):
    axes = np.eye(3) if axes is None else axes

    def distance(points):
        return sweep(points, start, end, start_radii, end_radii, axes)

    return _Solid(distance, [start, end], max(*start_radii, *end_radii), blend, cut)


def _solids(p):
    """Every solid in the order they are joined: the body last, so that the canal does not cut it."""
    wall = -p.depth / 2  # back wall of the body
    canal_back = wall + 0.7 * p.wall_concavity - p.canal_depth
    posterior = []
    for side in (0, 1):
        posterior += _half_arch(p, side, wall, canal_back)
    posterior += _spinous_process(p, canal_back)
    return posterior + [_canal(p, canal_back), _body(p)]


def _body(p):
    """Two kidney-shaped hollow endplates, a waist between them, and lips at their rims."""
    half_height = p.anterior_height / 2, p.posterior_height / 2
    wall = -p.depth / 2

    def distance(points):
        x, y, z = points
        front = np.clip((y - wall) / p.depth, -0.2, 1.2)
        height = half_height[1] + (half_height[0] - half_height[1]) * front
        t = z / height
        up = np.clip(0.5 + 0.5 * t, 0, 1)
        bow = 1 - p.waist * np.maximum(1 - t * t, 0)
        half_width = 0.5 * bow * (p.lower_width + (p.upper_width - p.lower_width) * up)
        half_depth = 0.5 * (1 - 0.7 * (1 - bow)) * (p.lower_depth + (p.upper_depth - p.lower_depth) * up)
        # Widest a little behind the middle; round in front, square behind, hollow at the back.
        ahead = y + 0.2 * half_depth
        hollow = p.wall_concavity * np.exp(-((x / (0.42 * half_width)) ** 2)) * np.clip(-ahead / half_depth, 0, 1)
        front_half = ahead > 0
        reach = np.where(front_half, 1.2 * half_depth, 0.8 * half_depth - hollow)
        across = superellipse(x, ahead, half_width, reach, np.where(front_half, 2.15, 2.9).astype(np.float32))
        cosine = ahead / np.sqrt(x * x + ahead * ahead + 1)
        sine = x / np.sqrt(x * x + ahead * ahead + 1)
        rim = np.clip(1.08 + across / (0.72 * half_depth), 0, 1)  # 0 in the middle, 1 from the ring outwards
        dish = (1 - rim * rim) ** 2
        for sign, lip, concavity in ((1, p.upper_lip, p.upper_concavity), (-1, p.lower_lip, p.lower_concavity)):
            from_rim = (height - sign * z) / 3.0
            beak = lip[0] + lip[1] * cosine + lip[2] * sine + lip[3] * (2 * sine * sine - 1)
            across = across - np.maximum(beak, 0) * np.exp(-np.clip(from_rim, -2, 4) ** 2)
            plate = sign * z - height + concavity * dish
            across = smooth_max(across, plate, 2.5)
        return across

    w, d, h = max(p.upper_width, p.lower_width) / 2 + 3, p.depth / 2 + 4, max(half_height) + 2
    hull = [(x, y, z) for x in (-w, w) for y in (-d, d) for z in (-h, h)]
    return _Solid(distance, hull, 0.0, 4.0)


def _canal(p, canal_back):
    """A tube along z that is cut out of the posterior elements: an ellipse that narrows to the back."""
    half_depth = p.canal_depth / 2
    centre = canal_back + half_depth

    def distance(points):
        x, y, _ = points
        back = np.clip((centre - y) / half_depth, -1, 1)
        return superellipse(x * (1 + p.canal_triangle * back), y - centre, half_width, half_depth, 2.3)

    # Narrowing the back widens the front: keep the greatest width as it was asked for.
    b = np.linspace(0, 1, 50)
    half_width = p.canal_width / 2 / np.max((1 - b**2.3) ** (1 / 2.3) / (1 - p.canal_triangle * b))
    w, h = p.canal_width / 2, 40
    hull = [(x, centre + y, z) for x in (-w, w) for y in (-half_depth, half_depth) for z in (-h, h)]
    return _Solid(distance, hull, 0.0, 1.5, cut=True)


def _half_arch(p, side, wall, canal_back):
    """Pedicle, articular processes, pars, lamina and transverse process of one side (0 left, 1 right)."""
    sign = (-1.0, 1.0)[side]

    def at(x, y, z):
        return np.array([sign * x, y, z])

    def facet_axes(angle, lean):
        """Rows: the facet's normal, its horizontal direction, its long direction (leaning forward by `lean`)."""
        a = np.radians(angle)
        normal = at(np.cos(a), np.sin(a), 0)
        long = at(0, np.sin(lean), np.cos(lean))
        long = long - normal * (normal @ long)
        long /= np.linalg.norm(long)
        return np.stack([normal, np.cross(long, normal), long])

    top, bottom = p.posterior_height / 2, -p.posterior_height / 2
    width, height = p.pedicle_width[side], p.pedicle_height[side]
    slope = np.tan(np.radians(p.pedicle_angle[side]))
    isthmus_x = p.canal_width / 2 + width / 2 - 0.3
    pedicle_z = top - height / 2 - 0.5
    rear_y = wall - p.pedicle_length[side]
    rear_x = isthmus_x + 0.5 * slope * p.pedicle_length[side]
    half = (width / 2, 5.0, height / 2)
    out = []

    # Pedicle: from inside the body, converging to the front.
    front = at(isthmus_x - 7 * slope, wall + 7, pedicle_z)
    out.append(_sweep(front, at(rear_x, rear_y, pedicle_z), (half[0] * 1.05, 5, half[2] * 1.05), half))

    # Superior articular process: a blade that rises from the pedicle's rear, facing back and to the midline.
    blade = p.facet_width[side] / 2
    upper = facet_axes(p.upper_facet_angle[side], 0.1)
    facet = at(p.upper_facet_offset[side] + 2.0, rear_y - 9.0, top + p.upper_facet_rise[side] - blade * 0.85)
    base = at(0.5 * (rear_x + p.upper_facet_offset[side] + 2.0), rear_y - 5.5, pedicle_z - 2)
    out.append(_sweep(base, facet, (5.0, blade * 0.9, 7), (3.6, blade, blade * 0.85), upper))
    hollow = facet - upper[0] * (3.6 + 9.0 - 1.6) + at(0, 0, 3.0)
    out.append(_sweep(hollow, hollow, (9, 9, 11), (9, 9, 11), upper, blend=2.0, cut=True))
    size = p.mammillary_size[side]
    knob = facet + at(2.5, -0.55 * blade - 1.0, -3.0)
    out.append(_sweep(knob, knob, (size * 0.85, size, size * 1.3), (size, size, size)))

    # Pars and inferior articular process, facing forward and outward.
    lower = facet_axes(p.lower_facet_angle[side], -0.1)
    tip = at(p.lower_facet_offset[side], canal_back - 4.5, bottom - p.lower_facet_drop[side] + blade * 0.85)
    neck = at(0.5 * (p.lower_facet_offset[side] + rear_x), 0.5 * (rear_y - 6 + canal_back), -4.0)
    shoulder = at(p.lower_facet_offset[side], canal_back - 3.0, -8.0)
    out.append(_sweep(base, neck, (5.0, 5.5, 6.5), (4.4, 5.0, 6.0)))
    out.append(_sweep(neck, shoulder, (4.2, 5.2, 6.5), (4.0, 5.5, 6.5), lower))
    out.append(_sweep(shoulder, tip, (4.0, 5.5, 6.5), (3.8, blade * 0.9, blade * 0.85), lower))

    # Lamina: a leaning plate from the pars to the midline.
    ridge = at(0.0, canal_back - 5.0, -7.5)
    root = at(p.canal_width / 2 + 1.5, canal_back + 0.45 * p.canal_depth, -2.0)
    along = (ridge - root) / np.linalg.norm(ridge - root)
    tall = np.array([0, np.sin(0.42), np.cos(0.42)])
    tall = tall - along * (along @ tall)
    tall /= np.linalg.norm(tall)
    plate = np.stack([along, np.cross(tall, along), tall])
    thick, high = p.lamina_thickness / 2, p.lamina_height / 2
    out.append(_sweep(root, ridge, (4, thick, high * 0.85), (3, thick * 1.1, high), plate, blend=5.0))
    out.append(_sweep(root, 0.5 * (neck + shoulder), (4, 4, 7), (4, 4, 7)))
    web = 0.5 * (shoulder + tip) + at(-1, 0, 1)
    out.append(_sweep(web, ridge + at(0, -1, -3), (3, thick * 0.85, 8), (3, thick * 0.9, 7.5), plate, blend=5.0))

    # Transverse process: broad root on the pedicle's rear, then a flat blade that bends back.
    reach, sweep_back, rise = p.transverse_reach[side], p.transverse_sweep[side], p.transverse_rise[side]
    th, tz = p.transverse_thickness[side] / 2, p.transverse_height[side] / 2
    root_z = pedicle_z - 3.0
    start = at(rear_x, rear_y - 2.0, root_z)
    middle = at(0.45 * rear_x + 0.55 * reach, rear_y - 2.0 - 0.45 * sweep_back, root_z + 0.4 * rise)
    end = at(reach - 3.0, rear_y - 2.0 - sweep_back, root_z + rise)
    out.append(_sweep(start, middle, (5, th * 1.5, tz * 1.2), (4, th, tz), blend=3.0))
    out.append(_sweep(middle, end, (4, th, tz), (3, th * 0.75, tz * 0.8)))
    return out


def _spinous_process(p, canal_back):
    """A hatchet-shaped plate in the midline, and the thick edge at its end."""
    root, tip = canal_back - 1.0, canal_back - p.spinous_length
    down = np.tan(np.radians(p.spinous_tilt)) * p.spinous_length
    h, high = p.spinous_height, -1.5
    lean = np.sin(np.radians(p.spinous_deviation))
    polygon = [
        (root + 2.0, high + 2.0),
        (0.5 * (root + tip), high - 0.3 * down),
        (tip + 4, high - 0.75 * down),
        (tip + 3, high - 0.9 * down - 0.85 * h),
        (tip + 8, high - 0.9 * down - h),
        (0.5 * (root + tip), high - 0.45 * down - 0.92 * h),
        (root + 2.0, high - 15.0),
    ]
    half = p.spinous_thickness / 2

    def distance(points):
        x, y, z = points
        back = np.clip((root - y) / (root - tip), 0, 1)
        return polygon_plate((x - lean * (root - y), y, z), polygon, half * (0.95 + 0.25 * back**3 + 0.8 * np.maximum(1 - 2.5 * back, 0) ** 2), 2.6)

    plate = _Solid(distance, [(0, y, z) for y, z in polygon], 8.0, 5.0)
    edge = half * 1.2
    above, below = ((lean * (root - tip), tip + 4.5, high - z) for z in (0.75 * down + 5, 0.9 * down + h - 4.5))
    return [plate, _sweep(above, below, (edge, 4.0, 5.0), (edge * 1.15, 5.5, 5.0))]


def _lie_down(p, solids, noise):
    """The pose (3, 3) and the bounding box's corners (3,), mm; who is too tall for the network's box tilts less."""
    tilt = p.sagittal_tilt
    for _ in range(5):
        turn = _rotation(tilt, p.coronal_tilt, p.axial_turn)
        low, high = _bounding_box(solids, turn, noise)
        if high[2] - low[2] <= MAX_HEIGHT:
            break
        tilt += 0.4 * (LOWEST_TILT - tilt)
    return turn, low, high


def _rotation(sagittal, coronal, axial):
    """From the vertebra's own axes to RAS, degrees: front up by the sagittal tilt, then coronal, then axial."""
    a, b, c = np.radians([sagittal, coronal, axial])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _evaluate(axes, solids, turn, noise):
    """The joined field on the grid spanned by `axes` (three 1-D arrays, RAS mm about the body's centre)."""
    grid = np.ix_(*(np.asarray(a, np.float32) for a in axes))
    own = [sum(np.float32(turn[i, j]) * grid[i] for i in range(3)) for j in range(3)]
    field = np.full([len(a) for a in axes], FAR, np.float32)

    for solid in solids:
        hull = solid.hull @ turn.T
        reach = solid.radius + (2.0 if solid.cut else FAR)
        ends = zip(axes, hull.min(0) - reach, hull.max(0) + reach)
        box = tuple(slice(*np.searchsorted(a, (lo, hi))) for a, lo, hi in ends)
        if field[box].size:
            distance = solid.distance([c[box] for c in own])
            blend = np.float32(solid.blend)
            field[box] = (
                smooth_max(field[box], -distance, blend) if solid.cut else smooth_min(field[box], distance, blend)
            )
    return field + noise(axes)


def _bounding_box(solids, turn, noise, step=2.0):
    """Lowest and highest corner (3,) of the vertebra about its body's centre, mm, from a coarse look."""
    axes = [np.arange(-62, 62.1, step), np.arange(-90, 40.1, step), np.arange(-48, 48.1, step)]
    field = _evaluate(axes, solids, turn, noise)
    low, high = [], []
    for i, a in enumerate(axes):
        depth = field.min(axis=tuple(j for j in range(3) if j != i))
        first, last = np.flatnonzero(depth < 0)[[0, -1]]
        low.append(a[first] - step * depth[first] / (depth[first] - depth[first - 1]))
        high.append(a[last] + step * depth[last] / (depth[last] - depth[last + 1]))
    return np.array(low), np.array(high)


def _rescale(field, spacing):
    """Divide by the gradient's length, so that a value is a distance in mm to first order."""
    length2 = sum(np.gradient(field, spacing, axis=i) ** 2 for i in range(3) if field.shape[i] > 1)
    return field / np.sqrt(np.clip(length2, 0.36, 4.0))


class _Noise:
    """A smooth random bump field in mm: cubic B-splines on two lattices about the body's centre."""

    def __init__(self, rng, size):
        self.layers = []
        for step, amount in ((4.0, 0.6), (10.0, 1.0)):
            low, count = (-72, -100, -60), [int(n / step) + 4 for n in (144, 150, 120)]
            weights = rng.standard_normal(count).astype(np.float32) * np.float32(3.2 * size * amount)
            self.layers.append((step, low, weights))

    def __call__(self, axes):
        total = 0
        for step, low, weights in self.layers:
            value = weights
            for a, lo in zip(axes, low):
                basis = _cubic_basis((np.asarray(a) - lo) / step, value.shape[0])
                value = np.tensordot(value, basis, axes=(0, 1))  # the used axis goes last: x, y, z again after three
            total = total + value
        return total


def _cubic_basis(u, count):
    """Values (len(u), count) of uniform cubic B-splines whose support starts at knot index - 3."""
    s = np.abs(u[:, None] + 1.0 - np.arange(count))
    near, far = 2 / 3 - s**2 + s**3 / 2, np.maximum(2 - s, 0) ** 3 / 6
    return np.where(s < 1, near, far).astype(np.float32)
