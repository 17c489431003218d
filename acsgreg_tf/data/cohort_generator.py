"""A cohort made to order: which vertebra each number stands for, made from real shapes or from the phantom.

Everything follows from (seed, index), so a cohort is the same on any machine and for any number of processes.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsgreg_tf.data import ct, shapes
from acsgreg_tf.data.correspondence import correspond
from acsgreg_tf.errors import InputError

LEVELS = ("L1", "L2", "L3", "L4", "L5")
SPACINGS = (1, 2, 4)
COLUMNS = ("path", "kind", "label", "level", "person", "axes")


@dataclass(frozen=True)
class Source:
    """A real vertebra: a label of a label map (`kind` 'label') or a mesh in an .npz file ('mesh')."""

    path: Path
    kind: str
    label: int | None
    level: str
    person: str
    axes: str

    @property
    def name(self):
        return f"{self.person}:{self.level}"

    def load(self, shape=shapes.SHAPE):
        """Its signed distance (X, Y, Z) in mm on the network grid. Raises InputError as `shapes` does."""
        if self.kind == "label":
            return shapes.load_label(self.path, self.label, shape=shape)
        try:
            with np.load(self.path) as arrays:
                vertices, faces = arrays["vertices"], arrays["faces"]
        except Exception as error:
            raise InputError(f"{self.path}: not an .npz file with vertices and faces ({error})") from error
        return shapes.load_mesh(vertices, faces, axes=self.axes, shape=shape, name=self.path)


def read_list(path):
    """The sources of a CSV list with the columns path, kind, label, level, person, axes.

    Paths are relative to the list's own folder. `label` may be empty where a label map has one label only;
    `axes` says where a mesh's axes point ('LPS', 'ALS', ...) and is empty for label maps, whose headers say
    it.

    Raises InputError, naming the line, for anything else.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable list of shapes ({error})") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise InputError(
            f"{path}: a list of shapes has a line of the names {','.join(COLUMNS)} and a line a shape"
        )
    return [_source(row, path, number) for number, row in enumerate(rows, start=2)]


def _source(row, path, number):
    where = f"{path}, line {number}"
    row = {key: (row[key] or "").strip() for key in COLUMNS}
    if row["kind"] not in ("label", "mesh"):
        raise InputError(f"{where}: kind must be label or mesh, not {row['kind']!r}")
    if row["level"] not in LEVELS:
        raise InputError(f"{where}: level must be one of {', '.join(LEVELS)}, not {row['level']!r}")
    if not row["person"]:
        raise InputError(f"{where}: person is empty")
    if row["label"] and not row["label"].isdigit():
        raise InputError(f"{where}: label must be a whole number, not {row['label']!r}")
    if bool(row["axes"]) != (row["kind"] == "mesh"):
        raise InputError(f"{where}: axes are given for a mesh, and for a mesh only")
    file = path.parent / row["path"]
    if not file.is_file():
        raise InputError(f"{where}: {file} is not there")
    label = int(row["label"]) if row["label"] else None
    return Source(file, row["kind"], label, row["level"], row["person"], row["axes"])


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
        hu, label = ct.simulate_ct(self.sources[index].load(), np.random.default_rng([self.seed, index]))
        return ct.normalise(hu, label), label


class CohortGenerator:
    """Makes vertebra number `index` of the cohort `seed`.

    `sources` are the real shapes to vary (none: the parametric phantom alone), `levels` the levels, which
    take turns, `phantom_fraction` the part made from the phantom. Levels without a real shape are made from
    the phantom, too. Of the real ones, `blend_fraction` are blends of two people of the same level (one in
    five of adjacent levels). `spacing` is the voxels' edge in whole mm: 1 gives 128 x 128 x 64 of them, 2 gives 64 x 64 x 32.

    Raises InputError for a spacing that does not divide the box.
    """

    def __init__(
        self, seed, levels=LEVELS, sources=(), phantom_fraction=0.0, blend_fraction=0.75, spacing=1
    ):
        if spacing not in SPACINGS:
            raise InputError(f"spacing {spacing}: must be one of {', '.join(map(str, SPACINGS))} mm")
        self.seed = seed
        self.spacing = spacing
        self.shape = tuple(n // spacing for n in shapes.SHAPE)
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
            from acsgreg_tf.data.phantom import vertebra

            sdf = vertebra(record["seed"], record["level"], self.shape, float(self.spacing))
        else:
            (source, weight), *others = parts
            sdf = self._shape(source)
            for other, weight in others:
                sdf = shapes.interpolate(sdf, self._shape(other), weight, self._field(source, other))
        hu, label = ct.simulate_ct(shapes.vary(sdf, rng, spacing=self.spacing), rng, spacing=self.spacing)
        return ct.normalise(hu, label), label

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
            places = [LEVELS.index(level) + step for step in ((-1, 1) if adjacent < 0.2 else (0,))]
            around = [s for p in places if 0 <= p < len(LEVELS) for s in self.sources.get(LEVELS[p], [])]
            around = [s for s in around if s.person != first.person]
            if around:
                parts.append((around[rng.integers(len(around))], round(rng.uniform(0.1, 0.9), 3)))
        source = " + ".join([first.name, *(f"{weight} {s.name}" for s, weight in parts[1:])])
        return {**record, "seed": self.seed, "source": source}, rng, parts

    def _shape(self, source):
        if source not in self._shapes:
            self._shapes[source] = shapes.coarser(source.load(), self.spacing)
        return self._shapes[source]

    def _field(self, fixed, moving):
        if (fixed, moving) not in self._fields:
            self._fields[fixed, moving] = correspond(self._shape(fixed), self._shape(moving), self.spacing)
        return self._fields[fixed, moving]
