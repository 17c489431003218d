"""Vertebrae by number: which vertebra each number of a cohort stands for, made from real shapes or from the phantom.

Everything follows from (seed, index), so a cohort is the same on any machine and for any number of processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import coarser
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.synthesis import shapes
from acsgreg_tf.synthesis.correspondence import correspond
from acsgreg_tf.synthesis.ct import simulate_ct
from acsgreg_tf.synthesis.phantom import part_map, vertebra
from acsgreg_tf.synthesis.sources import Source

__all__ = ["SPACINGS", "CohortGenerator", "Record", "Unvaried", "VertebraGenerator"]

SPACINGS = (1, 2, 4)


@dataclass(frozen=True)
class Record:
    """What is known of a vertebra before it is made.

    Attributes:
        id: Unlike any other's in the cohort; names its files.
        person: Whose it is.
        level: "L1" .. "L5".
        seed: What its random numbers follow from.
        source: "phantom", or the real shapes with their weights.
        parts: Whether its parts are known: of the phantom, and of real shapes with a map of parts.
    """

    id: str
    person: str
    level: str
    seed: int
    source: str
    parts: bool = False


class VertebraGenerator(ABC):
    """Makes vertebra number 0, 1, ... of a cohort.

    Attributes:
        shape: (X, Y, Z) of its volumes.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def describe(self, index: int) -> Record:
        """The Record of vertebra `index`, without making it."""

    @abstractmethod
    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertebra `index`: CT in [0, 1] (float32) and label (uint8), both (X, Y, Z) on the network grid.

        Raises:
            InputError: A real shape cannot be read.
        """

    @abstractmethod
    def make_with_parts(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Vertebra `index` as `make` has it, with its parts: uint8 (X, Y, Z), numbers of `anatomy.PARTS`, or None.

        Raises:
            InputError: A real shape or its map of parts cannot be read.
        """

    def load(self) -> None:  # noqa: B027
        """Read what many vertebrae share, so that processes started later get it; a no-op here.

        Raises:
            InputError: A real shape cannot be read.
        """


class Unvaried(VertebraGenerator):
    """Each source as it is, with simulated intensities: to measure on real shapes that have no CT."""

    shape = NETWORK_SHAPE

    def __init__(self, seed: int, sources: Iterable[Source]) -> None:
        self.seed = seed
        self.sources = list(sources)

    def describe(self, index: int) -> Record:
        """The Record of source `index`; of two of one person and level the second is numbered."""
        source = self.sources[index]
        which = (source.person, source.level)
        before = sum((other.person, other.level) == which for other in self.sources[:index])
        name = f"{source.person}-{source.level}" + (f"-{before + 1}" if before else "")
        return Record(name, source.person, source.level, self.seed, source.name, source.parts is not None)

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Source `index`, as `VertebraGenerator.make`."""
        hu, label = simulate_ct(self.sources[index].load(), np.random.default_rng([self.seed, index]))
        return normalise(hu, label), label

    def make_with_parts(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Source `index`, as `VertebraGenerator.make_with_parts`."""
        image, label = self.make(index)
        parts = self.sources[index].load_parts()
        return image, label, None if parts is None else np.where(label > 0, parts, 0).astype(np.uint8)


class CohortGenerator(VertebraGenerator):
    """Real shapes varied and blended, or the parametric phantom.

    Levels without a real shape are made from the phantom, too.

    Args:
        seed: Of the cohort, not negative.
        levels: The levels, which take turns.
        sources: The real shapes to vary (none: the phantom alone).
        phantom_fraction: The part made from the phantom.
        blend_fraction: The part of the real ones that are blends of two people of the same level (one in five of
            adjacent levels).
        spacing: The voxels' edge in whole mm: 1 gives 128 x 128 x 64 of them, 2 gives 64 x 64 x 32.

    Raises:
        InputError: The spacing does not divide the box.
    """

    def __init__(
        self,
        seed: int,
        levels: Sequence[str] = LUMBAR,
        sources: Iterable[Source] = (),
        phantom_fraction: float = 0.0,
        blend_fraction: float = 0.75,
        spacing: int = 1,
    ) -> None:
        if spacing not in SPACINGS:
            raise InputError(f"spacing {spacing}: must be one of {', '.join(map(str, SPACINGS))} mm")
        self.seed = seed
        self.spacing = spacing
        self.shape = tuple(n // spacing for n in NETWORK_SHAPE)
        self.levels = tuple(levels)
        self.phantom_fraction = phantom_fraction
        self.blend_fraction = blend_fraction
        self.sources: dict[str, list[Source]] = {}
        for source in sources:
            self.sources.setdefault(source.level, []).append(source)
        self._shapes: dict[Source, np.ndarray] = {}
        self._part_maps: dict[Source, np.ndarray | None] = {}
        self._fields: dict[tuple[Source, Source], np.ndarray] = {}

    def load(self) -> None:
        """Read all shapes now, as `VertebraGenerator.load`."""
        for sources in self.sources.values():
            for source in sources:
                self._shape(source)

    def describe(self, index: int) -> Record:
        """The Record of vertebra `index`."""
        return self._plan(index)[0]

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertebra `index`, as `VertebraGenerator.make`."""
        return self._make(index, parts=False)[:2]

    def make_with_parts(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Vertebra `index`, as `VertebraGenerator.make_with_parts`; a blend has the first shape's parts."""
        return self._make(index, parts=True)

    def _make(self, index: int, parts: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        record, rng, made_of = self._plan(index)
        own: np.ndarray | None = None
        if not made_of:
            sdf = vertebra(record.seed, record.level, self.shape, float(self.spacing))
            if parts:
                own = part_map(record.seed, record.level, self.shape, float(self.spacing))
        else:
            (source, _), *others = made_of
            sdf = self._shape(source)
            if parts:
                own = self._parts(source)
            for other, weight in others:
                field = self._field(source, other)
                sdf = shapes.interpolate(sdf, self._shape(other), weight, field)
                own = None if own is None else shapes.interpolate_parts(own, weight, field)
        varied, own = shapes.vary_with_parts(sdf, own, rng, spacing=self.spacing)
        hu, label = simulate_ct(varied, rng, spacing=self.spacing)
        return normalise(hu, label), label, None if own is None else np.where(label > 0, own, 0).astype(np.uint8)

    def _plan(self, index: int) -> tuple[Record, np.random.Generator, list[tuple[Source, float]]]:
        """The Record of vertebra `index`, the rng for the rest, and its sources with weights (none: the phantom)."""
        rng = np.random.default_rng([self.seed, index])
        level = self.levels[index % len(self.levels)]
        number = index // len(self.levels)
        person = f"g{self.seed}-{number:05d}"
        name = f"{person}-{level}"
        same_level = self.sources.get(level, [])
        phantom, blend, adjacent = rng.random(3)
        if not same_level or phantom < self.phantom_fraction:
            # One seed a person: the phantom's five levels are those of one spine.
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            return Record(name, person, level, seed, "phantom", True), rng, []
        first = same_level[rng.integers(len(same_level))]
        parts = [(first, 1.0)]
        if blend < self.blend_fraction:
            places = [LUMBAR.index(level) + step for step in ((-1, 1) if adjacent < 0.2 else (0,))]
            others = [s for p in places if 0 <= p < len(LUMBAR) for s in self.sources.get(LUMBAR[p], [])]
            others = [s for s in others if s.person != first.person]
            if others:
                parts.append((others[rng.integers(len(others))], round(rng.uniform(0.1, 0.9), 3)))
        source = " + ".join([first.name, *(f"{weight} {s.name}" for s, weight in parts[1:])])
        return Record(name, person, level, self.seed, source, first.parts is not None), rng, parts

    def _shape(self, source: Source) -> np.ndarray:
        if source not in self._shapes:
            self._shapes[source] = coarser(source.load(), self.spacing)
        return self._shapes[source]

    def _parts(self, source: Source) -> np.ndarray | None:
        if source not in self._part_maps:
            parts, start = source.load_parts(), self.spacing // 2
            # The voxel in the middle of each block, of which `coarser` takes the mean.
            step = (slice(start, None, self.spacing),) * 3
            self._part_maps[source] = None if parts is None else np.ascontiguousarray(parts[step])
        return self._part_maps[source]

    def _field(self, fixed: Source, moving: Source) -> np.ndarray:
        if (fixed, moving) not in self._fields:
            self._fields[fixed, moving] = correspond(self._shape(fixed), self._shape(moving), self.spacing)
        return self._fields[fixed, moving]
