"""The sizes of one person's lumbar vertebra, after published morphometry, fitted to CT labels.

How a size changes from L1 to L5, and its order of magnitude, follow the articles below from memory and rounded, men
and women together; no number here is a quotation. The values were then moved until generated vertebrae measured
like CT label maps and surfaces of about a dozen people (docs/reference/phantom.md): bodies came out some 5 % larger
than callipers find on dry bone, canals about 2 mm shallower. Where no article is named the labels alone decided.

[P92] Panjabi et al., "Human lumbar vertebrae: quantitative three-dimensional anatomy", Spine 17(3):299-306, 1992.
[Z87] Zindrick et al., "Analysis of the morphometric characteristics of the thoracic and lumbar pedicles",
      Spine 12(2):160-166, 1987.
[B87] Berry et al., "A morphometric study of human lumbar and selected thoracic vertebrae", Spine 12(4):362-367, 1987.
[W01] Wolf et al., "Morphometric study of the human lumbar spine for operation-workspace specifications",
      Spine 26(22):2472-2477, 2001.
[P93] Panjabi et al., "Articular facets of the human spine: quantitative three-dimensional anatomy",
      Spine 18(10):1298-1310, 1993.
[M04] Masharawi et al., "Facet orientation in the thoracolumbar spine: three-dimensional anatomic and biomechanical
      analysis", Spine 29(16):1755-1763, 2004.
"""

import dataclasses
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis.draws import cut_normal

_STREAM = 0x4C554D42  # keeps these draws apart from those that others make with the same seed
_LIMIT = 2.2  # standard deviations; nobody is ten sigma tall

# name: (means for L1 .. L5, standard deviation between people, kind). Kinds: "mm" grows with the person's size,
# "pair" is a (left, right) pair of such lengths, "degrees" and "ratio" do not grow, "turn" is a (left, right)
# pair of angles.
TABLE = {
    # Vertebral body [P92, W01]; heights [B87].
    "upper_width": ((43.5, 45.5, 47.2, 49.2, 51.5), 2.6, "mm"),
    "lower_width": ((46.0, 48.5, 50.7, 52.0, 52.8), 2.7, "mm"),
    "upper_depth": ((33.0, 34.5, 35.6, 35.6, 35.2), 2.3, "mm"),
    "lower_depth": ((34.0, 35.2, 36.0, 35.4, 34.2), 2.3, "mm"),
    "anterior_height": ((25.8, 28.2, 29.2, 29.4, 29.8), 1.8, "mm"),
    "posterior_height": ((27.6, 29.2, 29.2, 28.0, 25.6), 1.8, "mm"),
    # Waist as a part of the width; depths of the hollows of endplates and posterior wall.
    "waist": ((0.09, 0.09, 0.09, 0.08, 0.07), 0.03, "ratio"),
    "upper_concavity": ((2.2, 2.4, 2.5, 2.5, 2.5), 1.0, "mm"),
    "lower_concavity": ((2.6, 2.8, 2.9, 2.8, 2.4), 1.0, "mm"),
    "wall_concavity": ((2.2, 2.2, 2.0, 1.5, 0.8), 0.7, "mm"),
    # Canal [P92]; 0 is an ellipse, 0.5 nearly a triangle.
    "canal_width": ((23.0, 23.4, 24.0, 25.0, 27.0), 2.1, "mm"),
    "canal_depth": ((15.8, 15.4, 15.4, 15.6, 16.2), 2.1, "mm"),
    "canal_triangle": ((0.3, 0.36, 0.45, 0.52, 0.55), 0.09, "ratio"),
    # Pedicles [Z87]; length behind the wall of the body.
    "pedicle_width": ((8.4, 8.8, 10.3, 12.6, 16.0), 1.4, "pair"),
    "pedicle_height": ((15.4, 15.0, 14.8, 14.6, 14.4), 1.2, "pair"),
    "pedicle_length": ((8.5, 8.5, 8.5, 8.0, 7.0), 1.0, "pair"),
    "pedicle_angle": ((8.0, 9.0, 11.0, 14.0, 22.0), 3.3, "turn"),
    # Transverse processes: half the span tip to tip [P92].
    "transverse_reach": ((37.5, 42.0, 46.0, 45.0, 48.0), 2.1, "pair"),
    "transverse_sweep": ((9.0, 9.5, 9.5, 8.0, 6.0), 4.2, "pair"),
    "transverse_rise": ((0.0, 0.5, 1.0, 1.5, 3.0), 3.3, "pair"),
    "transverse_height": ((9.5, 10.5, 11.0, 10.0, 11.5), 1.7, "pair"),
    "transverse_thickness": ((5.4, 5.6, 5.6, 5.6, 7.4), 0.8, "pair"),
    # Spinous process: from the back of the canal to the tip [P92, W01].
    "spinous_length": ((34.0, 35.5, 36.5, 33.0, 26.5), 2.6, "mm"),
    "spinous_height": ((18.5, 20.5, 21.0, 18.5, 14.5), 2.5, "mm"),
    "spinous_thickness": ((6.0, 6.2, 6.4, 6.4, 6.2), 0.9, "mm"),
    "spinous_tilt": ((7.0, 9.0, 9.0, 13.0, 23.0), 6.5, "degrees"),
    "spinous_deviation": ((0.0, 0.0, 0.0, 0.0, 0.0), 2.6, "degrees"),
    # Laminae [P92].
    "lamina_height": ((22.0, 22.0, 21.0, 19.0, 16.0), 2.1, "mm"),
    "lamina_thickness": ((6.8, 7.0, 7.0, 6.8, 6.6), 0.8, "mm"),
    # Articular processes: distance of the facets' centres from the midline, angle to the sagittal plane
    # [P93, M04]; heights above and below the body's endplates and sizes [P93].
    "upper_facet_offset": ((13.0, 13.8, 15.0, 17.0, 20.0), 1.3, "pair"),
    "lower_facet_offset": ((10.0, 10.5, 11.5, 14.5, 18.5), 1.4, "pair"),
    "upper_facet_angle": ((26.0, 28.0, 34.0, 41.0, 47.0), 6.5, "turn"),
    "lower_facet_angle": ((28.0, 33.0, 40.0, 46.0, 50.0), 6.5, "turn"),
    "upper_facet_rise": ((4.5, 5.5, 6.5, 6.0, 4.0), 2.1, "pair"),
    "lower_facet_drop": ((8.5, 10.0, 11.0, 9.5, 7.5), 2.0, "pair"),
    "facet_width": ((14.0, 15.0, 16.0, 17.0, 18.0), 1.6, "pair"),
    "mammillary_size": ((4.2, 4.4, 4.6, 4.6, 4.4), 0.7, "pair"),
    # Pose in the scanner, patient lying on the back: lumbar lordosis spread over the levels.
    "sagittal_tilt": ((14.0, 8.0, -1.0, -12.0, -27.0), 5.5, "degrees"),
    "coronal_tilt": ((0.0, 0.0, 0.0, 0.0, 0.0), 3.3, "degrees"),
    "axial_turn": ((0.0, 0.0, 0.0, 0.0, 0.0), 2.6, "degrees"),
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """One vertebra's sizes: lengths in mm, angles in degrees; pairs are (left, right).

    The vertebra's own axes: x to the right, y to the front, z up along the body, origin at the body's centre.
    """

    level: str
    upper_width: float
    lower_width: float
    upper_depth: float
    lower_depth: float
    anterior_height: float
    posterior_height: float
    waist: float
    upper_concavity: float
    lower_concavity: float
    wall_concavity: float
    canal_width: float
    canal_depth: float
    canal_triangle: float
    pedicle_width: tuple[float, ...]
    pedicle_height: tuple[float, ...]
    pedicle_length: tuple[float, ...]
    pedicle_angle: tuple[float, ...]
    transverse_reach: tuple[float, ...]
    transverse_sweep: tuple[float, ...]
    transverse_rise: tuple[float, ...]
    transverse_height: tuple[float, ...]
    transverse_thickness: tuple[float, ...]
    spinous_length: float
    spinous_height: float
    spinous_thickness: float
    spinous_tilt: float
    spinous_deviation: float
    lamina_height: float
    lamina_thickness: float
    upper_facet_offset: tuple[float, ...]
    lower_facet_offset: tuple[float, ...]
    upper_facet_angle: tuple[float, ...]
    lower_facet_angle: tuple[float, ...]
    upper_facet_rise: tuple[float, ...]
    lower_facet_drop: tuple[float, ...]
    facet_width: tuple[float, ...]
    mammillary_size: tuple[float, ...]
    sagittal_tilt: float
    coronal_tilt: float
    axial_turn: float
    upper_lip: tuple[float, ...]
    lower_lip: tuple[float, ...]
    roughness: float

    @property
    def depth(self) -> float:
        """Mean depth of the body, mm."""
        return 0.5 * (self.upper_depth + self.lower_depth)


def parameters(seed: int, level: str) -> Parameters:
    """Draw the sizes of person `seed`'s vertebra at `level`.

    Args:
        seed: A whole number >= 0; the same number at two levels is the same person, so sizes and habits (a long spinous
            process, asymmetry of a side) go together.
        level: "L1" .. "L5".

    Raises:
        InputError: Any other seed or level.
    """
    index = level_index(level)
    person, own = generator(seed, 0), generator(seed, index + 1)
    # Stature: log-normal, 4.8 % between people of both sexes; then the proportions of the person, then the level's own.
    size = np.exp(0.048 * cut_normal(person, limit=_LIMIT))
    values: dict[str, Any] = {}
    for name, (means, deviation, kind) in TABLE.items():
        shared, level_z = cut_normal(person, limit=_LIMIT), cut_normal(own, limit=_LIMIT)
        shared_side, level_side = cut_normal(person, 2, _LIMIT), cut_normal(own, 2, _LIMIT)
        z = 0.85 * shared + 0.5 * level_z
        if kind in ("pair", "turn"):
            z = z + 0.3 * shared_side + 0.3 * level_side
        value = means[index] + deviation * np.clip(z, -2.5, 2.5)
        value = value * (size if kind in ("mm", "pair") else 1.0)
        values[name] = tuple(value.tolist()) if value.ndim else float(value)
    # Wear grows with age: most people have a thin even rim, some have beaks, mostly in front and to the sides,
    # and some bodies have sunk in front (a wedge of up to a quarter of the height).
    values["anterior_height"] *= 1 - 0.25 * own.beta(0.8, 6.0)
    wear = 0.35 + 1.3 * person.beta(1.2, 3.0)
    for name in ("upper_lip", "lower_lip"):
        values[name] = tuple((wear * np.array([0.8, 0.9, 0.5, 0.5]) * own.normal(1.0, 0.6, 4)).tolist())
    values["roughness"] = float(0.35 + 0.25 * person.random())
    return Parameters(level=level, **values)


def level_index(level: str) -> int:
    """0 for "L1" .. 4 for "L5".

    Raises:
        InputError: Anything else.
    """
    if level not in LUMBAR:
        raise InputError(f"level {level!r}: a lumbar level is one of {', '.join(LUMBAR)}")
    return LUMBAR.index(level)


def generator(*words: int) -> np.random.Generator:
    """A random generator that follows from whole numbers >= 0 alone: the same on any machine.

    Raises:
        InputError: A word is no such number.
    """
    for word in words:
        if isinstance(word, bool) or not isinstance(word, (int, np.integer)) or word < 0:
            raise InputError(f"seed {word!r}: a seed is a whole number >= 0")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([_STREAM, *map(int, words)])))
