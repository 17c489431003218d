"""A lumbar vertebra as solids: which there are, where they sit, and how softly each joins the others.

Axes are the vertebra's own: x to the right, y to the front, z up along the body, origin at the body's centre, mm.
Constants that are no parameter (where on the pedicle a process begins, how blades lean) were set by eye beside CT
label maps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acsgreg_tf.synthesis.phantom_parameters import Parameters
from acsgreg_tf.synthesis.phantom_sdf import gauge, polygon_plate, smooth_max, sweep

Points = Sequence[np.ndarray]  # x, y and z in mm

# Numbers of the parts (`anatomy.PARTS`), left before right; pedicles, pars and laminae are the arch.
ARCH, SPINOUS, BODY = 41, 42, 50
TRANSVERSE, SUPERIOR, INFERIOR = (43, 44), (45, 46), (47, 48)


@dataclass(frozen=True)
class Solid:
    """One solid, in the vertebra's own axes.

    Attributes:
        distance: Signed distance in mm from points in mm, negative inside.
        hull: (N, 3) points that, with `radius` around them, bound it; mm.
        radius: In mm.
        blend: Width over which it blends into the others, mm.
        cut: Whether it is taken away from what was joined before it.
        part: The number of the part that it belongs to (`anatomy.PARTS`); 0 for what is cut.
    """

    distance: Callable[[Points], np.ndarray]
    hull: np.ndarray
    radius: float
    blend: float
    cut: bool = False
    part: int = 0


def _swept(
    start: Any,
    end: Any,
    start_radii: Sequence[float],
    end_radii: Sequence[float],
    axes: np.ndarray | None = None,
    blend: float = 3.0,
    cut: bool = False,
    part: int = ARCH,
) -> Solid:
    rows = np.eye(3) if axes is None else axes

    def distance(points: Points) -> np.ndarray:
        return sweep(points, start, end, start_radii, end_radii, rows)

    radius = max(*start_radii, *end_radii)
    return Solid(distance, np.array([start, end], float), radius, blend, cut, 0 if cut else part)


def solids(p: Parameters) -> list[Solid]:
    """The solids of a vertebra with the sizes `p`, in the order they are joined, in its own axes (mm).

    The body comes last, so that the canal, which is cut from everything before it, leaves it whole.
    """
    wall = -p.depth / 2  # back wall of the body
    canal_back = wall + 0.7 * p.wall_concavity - p.canal_depth
    posterior: list[Solid] = []
    for side in (0, 1):
        posterior += _HalfArch(p, side, wall, canal_back).solids()
    posterior += _spinous_process(p, canal_back)
    return posterior + [_canal(p, canal_back), _body(p)]


def _body(p: Parameters) -> Solid:
    """Two kidney-shaped hollow endplates, a waist between them, and lips at their rims."""
    half_height = p.anterior_height / 2, p.posterior_height / 2
    wall = -p.depth / 2

    def distance(points: Points) -> np.ndarray:
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
    return Solid(distance, np.array(hull), 0.0, 4.0, part=BODY)


def _canal(p: Parameters, canal_back: float) -> Solid:
    """A tube along z that is cut out of the posterior elements: an ellipse that narrows to the back."""
    half_depth = p.canal_depth / 2
    centre = canal_back + half_depth

    def distance(points: Points) -> np.ndarray:
        x, y, _ = points
        back = np.clip((centre - y) / half_depth, -1, 1)
        x = x * (1 + p.canal_triangle * back)
        return (gauge(x, y - centre, half_width, half_depth, 2.3) - 1) * half_depth

    # Narrowing the back widens the front: keep the greatest width.
    b = np.linspace(0, 1, 50)
    half_width = p.canal_width / 2 / float(np.max((1 - b**2.3) ** (1 / 2.3) / (1 - p.canal_triangle * b)))
    w, h = p.canal_width / 2, 40
    hull = [(x, centre + y, z) for x in (-w, w) for y in (-half_depth, half_depth) for z in (-h, h)]
    return Solid(distance, np.array(hull), 0.0, 1.5, cut=True)


class _HalfArch:
    """Pedicle, articular processes, pars, lamina and transverse process of one side (0 left, 1 right)."""

    def __init__(self, p: Parameters, side: int, wall: float, canal_back: float) -> None:
        self.p, self.side, self.wall, self.canal_back = p, side, wall, canal_back
        self.top, self.bottom = p.posterior_height / 2, -p.posterior_height / 2
        self.slope = np.tan(np.radians(p.pedicle_angle[side]))
        self.isthmus_x = p.canal_width / 2 + p.pedicle_width[side] / 2 - 0.3
        self.pedicle_z = self.top - p.pedicle_height[side] / 2 - 0.5
        self.rear_y = wall - p.pedicle_length[side]
        self.rear_x = self.isthmus_x + 0.5 * self.slope * p.pedicle_length[side]
        self.blade = p.facet_width[side] / 2
        # Where the processes meet: below the pedicle's rear, on the pars, and at the lamina's shoulder.
        self.base = self.at(
            0.5 * (self.rear_x + p.upper_facet_offset[side] + 2.0), self.rear_y - 5.5, self.pedicle_z - 2
        )
        self.neck = self.at(
            0.5 * (p.lower_facet_offset[side] + self.rear_x), 0.5 * (self.rear_y - 6 + canal_back), -4.0
        )
        self.shoulder = self.at(p.lower_facet_offset[side], canal_back - 3.0, -8.0)
        self.tip = self.at(
            p.lower_facet_offset[side], canal_back - 4.5, self.bottom - p.lower_facet_drop[side] + self.blade * 0.85
        )

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """A point (3,), with x counted outwards."""
        return np.array([(-1.0, 1.0)[self.side] * x, y, z])

    def facet_axes(self, angle: float, lean: float) -> np.ndarray:
        """Rows: the facet's normal, its horizontal direction, its long direction (leaning forward by `lean`)."""
        a = np.radians(angle)
        normal = self.at(np.cos(a), np.sin(a), 0)
        long = self.at(0, np.sin(lean), np.cos(lean))
        long = long - normal * (normal @ long)
        long /= np.linalg.norm(long)
        return np.stack([normal, np.cross(long, normal), long])

    def solids(self) -> list[Solid]:
        """All of them, in the order they are joined."""
        return [
            self.pedicle(),
            *self.superior_process(),
            *self.inferior_process(),
            *self.lamina(),
            *self.transverse_process(),
        ]

    def pedicle(self) -> Solid:
        """From inside the body, converging to the front."""
        half = (self.p.pedicle_width[self.side] / 2, 5.0, self.p.pedicle_height[self.side] / 2)
        front = self.at(self.isthmus_x - 7 * self.slope, self.wall + 7, self.pedicle_z)
        rear = self.at(self.rear_x, self.rear_y, self.pedicle_z)
        return _swept(front, rear, (half[0] * 1.05, 5, half[2] * 1.05), half)

    def superior_process(self) -> list[Solid]:
        """A blade that rises from the pedicle's rear, facing back and to the midline, its hollow, and a knob."""
        p, side, blade = self.p, self.side, self.blade
        axes = self.facet_axes(p.upper_facet_angle[side], 0.1)
        facet = self.at(
            p.upper_facet_offset[side] + 2.0, self.rear_y - 9.0, self.top + p.upper_facet_rise[side] - blade * 0.85
        )
        hollow = facet - axes[0] * (3.6 + 9.0 - 1.6) + self.at(0, 0, 3.0)
        size = p.mammillary_size[side]
        knob = facet + self.at(2.5, -0.55 * blade - 1.0, -3.0)
        return [
            _swept(self.base, facet, (5.0, blade * 0.9, 7), (3.6, blade, blade * 0.85), axes, part=SUPERIOR[side]),
            _swept(hollow, hollow, (9, 9, 11), (9, 9, 11), axes, blend=2.0, cut=True),
            _swept(knob, knob, (size * 0.85, size, size * 1.3), (size, size, size), part=SUPERIOR[side]),
        ]

    def inferior_process(self) -> list[Solid]:
        """Pars and inferior articular process, facing forward and outward."""
        axes = self.facet_axes(self.p.lower_facet_angle[self.side], -0.1)
        blade = (3.8, self.blade * 0.9, self.blade * 0.85)
        return [
            _swept(self.base, self.neck, (5.0, 5.5, 6.5), (4.4, 5.0, 6.0)),
            _swept(self.neck, self.shoulder, (4.2, 5.2, 6.5), (4.0, 5.5, 6.5), axes),
            _swept(self.shoulder, self.tip, (4.0, 5.5, 6.5), blade, axes, part=INFERIOR[self.side]),
        ]

    def lamina(self) -> list[Solid]:
        """A leaning plate from the pars to the midline, its root, and the web to the inferior process."""
        p, canal_back = self.p, self.canal_back
        ridge = self.at(0.0, canal_back - 5.0, -7.5)
        root = self.at(p.canal_width / 2 + 1.5, canal_back + 0.45 * p.canal_depth, -2.0)
        along = (ridge - root) / np.linalg.norm(ridge - root)
        tall = np.array([0, np.sin(0.42), np.cos(0.42)])
        tall = tall - along * (along @ tall)
        tall /= np.linalg.norm(tall)
        plate = np.stack([along, np.cross(tall, along), tall])
        thick, high = p.lamina_thickness / 2, p.lamina_height / 2
        web = 0.5 * (self.shoulder + self.tip) + self.at(-1, 0, 1)
        below = ridge + self.at(0, -1, -3)
        return [
            _swept(root, ridge, (4, thick, high * 0.85), (3, thick * 1.1, high), plate, blend=5.0),
            _swept(root, 0.5 * (self.neck + self.shoulder), (4, 4, 7), (4, 4, 7)),
            _swept(web, below, (3, thick * 0.85, 8), (3, thick * 0.9, 7.5), plate, blend=5.0),
        ]

    def transverse_process(self) -> list[Solid]:
        """A broad root on the pedicle's rear, then a flat blade that bends back."""
        p, side = self.p, self.side
        reach, sweep_back, rise = p.transverse_reach[side], p.transverse_sweep[side], p.transverse_rise[side]
        th, tz = p.transverse_thickness[side] / 2, p.transverse_height[side] / 2
        root_y, root_z = self.rear_y - 2.0, self.pedicle_z - 3.0
        start = self.at(self.rear_x, root_y, root_z)
        middle = self.at(0.45 * self.rear_x + 0.55 * reach, root_y - 0.45 * sweep_back, root_z + 0.4 * rise)
        end = self.at(reach - 3.0, root_y - sweep_back, root_z + rise)
        return [
            _swept(start, middle, (5, th * 1.5, tz * 1.2), (4, th, tz), blend=3.0, part=TRANSVERSE[side]),
            _swept(middle, end, (4, th, tz), (3, th * 0.75, tz * 0.8), part=TRANSVERSE[side]),
        ]


def _spinous_process(p: Parameters, canal_back: float) -> list[Solid]:
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

    def distance(points: Points) -> np.ndarray:
        x, y, z = points
        back = np.clip((root - y) / (root - tip), 0, 1)
        thickness = half * (0.95 + 0.25 * back**3 + 0.8 * np.maximum(1 - 2.5 * back, 0) ** 2)
        return polygon_plate((x - lean * (root - y), y, z), polygon, thickness, 2.6)

    plate = Solid(distance, np.array([(0.0, y, z) for y, z in polygon]), 8.0, 5.0, part=SPINOUS)
    edge = half * 1.2
    above, below = ((lean * (root - tip), tip + 4.5, high - z) for z in (0.75 * down + 5, 0.9 * down + h - 4.5))
    return [plate, _swept(above, below, (edge, 4.0, 5.0), (edge * 1.15, 5.5, 5.0), part=SPINOUS)]
