"""A cohort made to order: which vertebra each number stands for, made from real shapes or from the phantom.

Everything follows from (seed, index), so a cohort is the same on any machine and for any number of processes.
"""

import numpy as np

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import coarser
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.synthesis import shapes
from acsgreg_tf.synthesis.correspondence import correspond
from acsgreg_tf.synthesis.ct import simulate_ct

SPACINGS = (1, 2, 4)


class Unvaried:
    """Gives each source as it is, with simulated intensities: to measure on real shapes that have no CT."""

    def __init__(self, seed, sources):
        self.seed = seed
        self.sources = list(sources)

    def __len__(self):
        return len(self.sources)

    def load(self):
        """Nothing: every shape is needed once only."""

    def describe(self, index):
        """The manifest's line of source `index`: a dict of id, person, level, seed and source."""
        source = self.sources[index]
        name = f"{source.person}-{source.level}"
        return {
            "id": name,
            "person": source.person,
            "level": source.level,
            "seed": self.seed,
            "source": source.name,
        }

    def make(self, index):
        """Source `index`: CT in [0, 1] (float32) and label (uint8), both (X, Y, Z) on the network grid."""
        hu, label = simulate_ct(self.sources[index].load(), np.random.default_rng([self.seed, index]))
        return normalise(hu, label), label


class CohortGenerator:
    """Makes vertebra number `index` of the cohort `seed`.

    `sources` are the real shapes to vary (none: the parametric phantom alone), `levels` the levels, which
    take turns, `phantom_fraction` the part made from the phantom. Levels without a real shape are made from
    the phantom, too. Of the real ones, `blend_fraction` are blends of two people of the same level (one in
    five of adjacent levels). `spacing` is the voxels' edge in whole mm: 1 gives 128 x 128 x 64 of them, 2 gives 64 x 64 x 32.

    Raises InputError for a spacing that does not divide the box.
    """

    def __init__(self, seed, levels=LUMBAR, sources=(), phantom_fraction=0.0, blend_fraction=0.75, spacing=1):
        if spacing not in SPACINGS:
            raise InputError(f"spacing {spacing}: must be one of {', '.join(map(str, SPACINGS))} mm")
        self.seed = seed
        self.spacing = spacing
        self.shape = tuple(n // spacing for n in NETWORK_SHAPE)
        self.levels = tuple(levels)
        self.phantom_fraction = phantom_fraction
        self.blend_fraction = blend_fraction
        self.sources = {}
        for source in sources:
            self.sources.setdefault(source.level, []).append(source)
        self._shapes = {}
        self._fields = {}

    def load(self):
        """Read all shapes now, so that processes forked later share them; InputError for a bad file."""
        for sources in self.sources.values():
            for source in sources:
                self._shape(source)

    def describe(self, index):
        """The manifest's line of vertebra `index`: a dict of id, person, level, seed and source."""
        return self._plan(index)[0]

    def make(self, index):
        """Vertebra `index`: CT in [0, 1] (float32) and label (uint8), both of `shape`, on the network grid."""
        record, rng, parts = self._plan(index)
        if parts is None:
            from acsgreg_tf.synthesis.phantom import vertebra

            sdf = vertebra(record["seed"], record["level"], self.shape, float(self.spacing))
        else:
            (source, weight), *others = parts
            sdf = self._shape(source)
            for other, weight in others:
                sdf = shapes.interpolate(sdf, self._shape(other), weight, self._field(source, other))
        hu, label = simulate_ct(shapes.vary(sdf, rng, spacing=self.spacing), rng, spacing=self.spacing)
        return normalise(hu, label), label

    def _plan(self, index):
        """What vertebra `index` is made of: its record, a generator for the rest, sources with weights."""
        rng = np.random.default_rng([self.seed, index])
        level = self.levels[index % len(self.levels)]
        person = index // len(self.levels)
        record = {
            "id": f"g{self.seed}-{person:05d}-{level}",
            "person": f"g{self.seed}-{person:05d}",
            "level": level,
        }
        here = self.sources.get(level, [])
        phantom, blend, adjacent = rng.random(3)
        if not here or phantom < self.phantom_fraction:
            # One seed a person: the phantom's five levels are those of one spine.
            seed = int(np.random.SeedSequence([self.seed, person]).generate_state(1)[0])
            return {**record, "seed": seed, "source": "phantom"}, rng, None
        first = here[rng.integers(len(here))]
        parts = [(first, 1.0)]
        if blend < self.blend_fraction:
            places = [LUMBAR.index(level) + step for step in ((-1, 1) if adjacent < 0.2 else (0,))]
            around = [s for p in places if 0 <= p < len(LUMBAR) for s in self.sources.get(LUMBAR[p], [])]
            around = [s for s in around if s.person != first.person]
            if around:
                parts.append((around[rng.integers(len(around))], round(rng.uniform(0.1, 0.9), 3)))
        source = " + ".join([first.name, *(f"{weight} {s.name}" for s, weight in parts[1:])])
        return {**record, "seed": self.seed, "source": source}, rng, parts

    def _shape(self, source):
        if source not in self._shapes:
            self._shapes[source] = coarser(source.load(), self.spacing)
        return self._shapes[source]

    def _field(self, fixed, moving):
        if (fixed, moving) not in self._fields:
            self._fields[fixed, moving] = correspond(self._shape(fixed), self._shape(moving), self.spacing)
        return self._fields[fixed, moving]
