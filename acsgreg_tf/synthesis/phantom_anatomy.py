"""A lumbar vertebra as solids: which there are, where they sit, and how softly each joins the others.

Axes are the vertebra's own: x to the right, y to the front, z up along the body, origin at the body's centre, mm.
Constants that are no parameter (where on the pedicle a process begins, how blades lean) were set by eye beside CT
label maps.
"""

import numpy as np

from acsgreg_tf.synthesis.phantom_sdf import gauge, polygon_plate, smooth_max, sweep


class Solid:
    """A signed distance, the few points and the radius that bound it (own axes, mm), and how wide it blends.

    A solid with `cut` is taken away from what was joined before it.
    """

    def __init__(self, distance, hull, radius, blend, cut=False):
        self.distance, self.hull, self.radius = distance, np.asarray(hull, float), radius
        self.blend, self.cut = blend, cut


def _swept(start, end, start_radii, end_radii, axes=None, blend=3.0, cut=False):
    axes = np.eye(3) if axes is None else axes

    def distance(points):
        return sweep(points, start, end, start_radii, end_radii, axes)

    return Solid(distance, [start, end], max(*start_radii, *end_radii), blend, cut)


def solids(p):
    """The solids of a vertebra with `Parameters` p, in the order they are joined, in its own axes (mm).

    The body comes last, so that the canal, which is cut from everything before it, leaves it whole.
    """
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
        power = np.where(front_half, np.float32(2.15), np.float32(2.9))
        outward = np.maximum(gauge(x, ahead, half_width, reach, power), 0.01)
        radius = np.sqrt(x * x + ahead * ahead + 0.01)
        across = radius - radius / outward
        cosine, sine = ahead / radius, x / radius
        rim = np.clip(1.08 + across / (0.72 * half_depth), 0, 1)  # 0 in the middle, 1 from the ring outwards
        dish = (1 - rim * rim) ** 2
        for sign, lip, concavity in (
            (1, p.upper_lip, p.upper_concavity),
            (-1, p.lower_lip, p.lower_concavity),
        ):
            from_rim = (height - sign * z) / 3.0
            beak = lip[0] + lip[1] * cosine + lip[2] * sine + lip[3] * (2 * sine * sine - 1)
            across = across - np.maximum(beak, 0) * np.exp(-(np.clip(from_rim, -2, 4) ** 2))
            plate = sign * z - height + concavity * dish
            across = smooth_max(across, plate, 2.5)
        return across

    w, d, h = max(p.upper_width, p.lower_width) / 2 + 3, p.depth / 2 + 4, max(half_height) + 2
    hull = [(x, y, z) for x in (-w, w) for y in (-d, d) for z in (-h, h)]
    return Solid(distance, hull, 0.0, 4.0)


def _canal(p, canal_back):
    """A tube along z that is cut out of the posterior elements: an ellipse that narrows to the back."""
    half_depth = p.canal_depth / 2
    centre = canal_back + half_depth

    def distance(points):
        x, y, _ = points
        back = np.clip((centre - y) / half_depth, -1, 1)
        x = x * (1 + p.canal_triangle * back)
        return (gauge(x, y - centre, half_width, half_depth, 2.3) - 1) * half_depth

    # Narrowing the back widens the front: keep the greatest width as it was asked for.
    b = np.linspace(0, 1, 50)
    half_width = p.canal_width / 2 / float(np.max((1 - b**2.3) ** (1 / 2.3) / (1 - p.canal_triangle * b)))
    w, h = p.canal_width / 2, 40
    hull = [(x, centre + y, z) for x in (-w, w) for y in (-half_depth, half_depth) for z in (-h, h)]
    return Solid(distance, hull, 0.0, 1.5, cut=True)


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
    out.append(_swept(front, at(rear_x, rear_y, pedicle_z), (half[0] * 1.05, 5, half[2] * 1.05), half))

    # Superior articular process: a blade that rises from the pedicle's rear, facing back and to the midline.
    blade = p.facet_width[side] / 2
    upper = facet_axes(p.upper_facet_angle[side], 0.1)
    facet = at(p.upper_facet_offset[side] + 2.0, rear_y - 9.0, top + p.upper_facet_rise[side] - blade * 0.85)
    base = at(0.5 * (rear_x + p.upper_facet_offset[side] + 2.0), rear_y - 5.5, pedicle_z - 2)
    out.append(_swept(base, facet, (5.0, blade * 0.9, 7), (3.6, blade, blade * 0.85), upper))
    hollow = facet - upper[0] * (3.6 + 9.0 - 1.6) + at(0, 0, 3.0)
    out.append(_swept(hollow, hollow, (9, 9, 11), (9, 9, 11), upper, blend=2.0, cut=True))
    size = p.mammillary_size[side]
    knob = facet + at(2.5, -0.55 * blade - 1.0, -3.0)
    out.append(_swept(knob, knob, (size * 0.85, size, size * 1.3), (size, size, size)))

    # Pars and inferior articular process, facing forward and outward.
    lower = facet_axes(p.lower_facet_angle[side], -0.1)
    tip = at(p.lower_facet_offset[side], canal_back - 4.5, bottom - p.lower_facet_drop[side] + blade * 0.85)
    neck = at(0.5 * (p.lower_facet_offset[side] + rear_x), 0.5 * (rear_y - 6 + canal_back), -4.0)
    shoulder = at(p.lower_facet_offset[side], canal_back - 3.0, -8.0)
    out.append(_swept(base, neck, (5.0, 5.5, 6.5), (4.4, 5.0, 6.0)))
    out.append(_swept(neck, shoulder, (4.2, 5.2, 6.5), (4.0, 5.5, 6.5), lower))
    out.append(_swept(shoulder, tip, (4.0, 5.5, 6.5), (3.8, blade * 0.9, blade * 0.85), lower))

    # Lamina: a leaning plate from the pars to the midline.
    ridge = at(0.0, canal_back - 5.0, -7.5)
    root = at(p.canal_width / 2 + 1.5, canal_back + 0.45 * p.canal_depth, -2.0)
    along = (ridge - root) / np.linalg.norm(ridge - root)
    tall = np.array([0, np.sin(0.42), np.cos(0.42)])
    tall = tall - along * (along @ tall)
    tall /= np.linalg.norm(tall)
    plate = np.stack([along, np.cross(tall, along), tall])
    thick, high = p.lamina_thickness / 2, p.lamina_height / 2
    out.append(_swept(root, ridge, (4, thick, high * 0.85), (3, thick * 1.1, high), plate, blend=5.0))
    out.append(_swept(root, 0.5 * (neck + shoulder), (4, 4, 7), (4, 4, 7)))
    web = 0.5 * (shoulder + tip) + at(-1, 0, 1)
    out.append(_swept(web, ridge + at(0, -1, -3), (3, thick * 0.85, 8), (3, thick * 0.9, 7.5), plate, blend=5.0))

    # Transverse process: broad root on the pedicle's rear, then a flat blade that bends back.
    reach, sweep_back, rise = p.transverse_reach[side], p.transverse_sweep[side], p.transverse_rise[side]
    th, tz = p.transverse_thickness[side] / 2, p.transverse_height[side] / 2
    root_z = pedicle_z - 3.0
    start = at(rear_x, rear_y - 2.0, root_z)
    middle = at(0.45 * rear_x + 0.55 * reach, rear_y - 2.0 - 0.45 * sweep_back, root_z + 0.4 * rise)
    end = at(reach - 3.0, rear_y - 2.0 - sweep_back, root_z + rise)
    out.append(_swept(start, middle, (5, th * 1.5, tz * 1.2), (4, th, tz), blend=3.0))
    out.append(_swept(middle, end, (4, th, tz), (3, th * 0.75, tz * 0.8)))
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
        thickness = half * (0.95 + 0.25 * back**3 + 0.8 * np.maximum(1 - 2.5 * back, 0) ** 2)
        return polygon_plate((x - lean * (root - y), y, z), polygon, thickness, 2.6)

    plate = Solid(distance, [(0, y, z) for y, z in polygon], 8.0, 5.0)
    edge = half * 1.2
    above, below = ((lean * (root - tip), tip + 4.5, high - z) for z in (0.75 * down + 5, 0.9 * down + h - 4.5))
    return [plate, _swept(above, below, (edge, 4.0, 5.0), (edge * 1.15, 5.5, 5.0))]
