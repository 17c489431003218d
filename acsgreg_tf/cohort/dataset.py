"""Data sets of vertebrae to train on: their base class, and the one that reads crops from files."""

import hashlib
import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from acsgreg_tf.anatomy.parts import PARTS
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.pairs import ordered_indices, ordered_pairs
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import Image, read_image, read_label
from acsgreg_tf.io.tables import read_lines

# What a list of parts holds where a vertebra has none.
NO_PARTS = "-"

__all__ = ["VertebraDataset", "Vertebrae", "read_list"]


class VertebraDataset(ABC):
    """Vertebrae on one grid shape, by number, and the pairs of them that training takes.

    Attributes:
        inshape: (X, Y, Z) of every image and mask.
        has_labels: Whether `get` returns masks.
        has_parts: Whether `get_parts` returns maps, of some at least.
    """

    inshape: tuple[int, ...]
    has_labels: bool
    has_parts: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """The number of vertebrae."""

    @abstractmethod
    def pairs(self) -> np.ndarray:
        """The pairs (fixed, moving) as indices, int [P, 2].

        Raises:
            InputError: There is no pair.
        """

    @abstractmethod
    def get(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Vertebra `index`: image in [0, 1] as float16 [X, Y, Z], and mask as bool [X, Y, Z], or None without labels.

        May be called from several threads.

        Raises:
            InputError: It cannot be read or made.
        """

    def get_parts(self, index: int) -> np.ndarray | None:
        """The map of parts of vertebra `index`, uint8 [X, Y, Z], numbers of `anatomy.PARTS`; None without one.

        May be called from several threads.

        Raises:
            InputError: It cannot be read.
        """
        return None

    def digest(self) -> str:
        """What a training by these vertebrae follows from: their files' names or number, labels, parts and pairs."""
        what = [self.names(), self.has_labels, self.has_parts, self.inshape]
        pairs = np.asarray(self.pairs(), np.int64).tobytes()
        return hashlib.sha256(json.dumps(what).encode() + pairs).hexdigest()[:16]

    def names(self) -> list[str]:
        """What tells these vertebrae from others: here their number alone."""
        return [str(len(self))]

    def prepare_order(self, indices: Iterable[int]) -> None:  # noqa: B027
        """Hint of the access order; a no-op here."""

    def close(self) -> None:  # noqa: B027
        """Release processes and the like; what is in memory can still be read. A no-op here."""

    def without_labels(self) -> "VertebraDataset":
        """The same vertebrae without their masks, for a loss without the Dice terms."""
        return _WithoutLabels(self)


class _WithoutLabels(VertebraDataset):
    """A view of a data set that hides the masks."""

    has_labels = False

    def __init__(self, dataset: VertebraDataset) -> None:
        self.dataset = dataset
        self.inshape = dataset.inshape

    def __len__(self) -> int:
        return len(self.dataset)

    def pairs(self) -> np.ndarray:
        return self.dataset.pairs()

    def names(self) -> list[str]:
        return self.dataset.names()

    def get(self, index: int) -> tuple[np.ndarray, None]:
        return self.dataset.get(index)[0], None

    def prepare_order(self, indices: Iterable[int]) -> None:
        self.dataset.prepare_order(indices)

    def close(self) -> None:
        self.dataset.close()


class Vertebrae(VertebraDataset):
    """Cropped vertebrae read from files; each file is read when first asked for and then stays in memory.

    Args:
        images: Paths of intensity crops in [0, 1], background 0.
        labels: Paths of their masks in the same order, or None.
        groups: A word for each (its level, say): pairs are drawn within a word only. None pairs all with all.
        inshape: The shape that every file must have; None takes the first file's.
        chosen: (fixed, moving) index pairs to use instead of all ordered ones (`pairs.mixed_pairs`, say).
        parts: Paths of maps of parts on the crops' grids in the same order, "" (or "-") where there is none; None for
            none at all.

    Raises:
        InputError: An empty list, lists of different lengths, a file that is missing; on reading, a file that cannot be
            read, of another shape, or with intensities outside [0, 1].
    """

    def __init__(
        self,
        images: Sequence[str],
        labels: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        inshape: Sequence[int] | None = None,
        chosen: Sequence[tuple[int, int]] | None = None,
        parts: Sequence[str] | None = None,
    ) -> None:
        if not len(images):
            raise InputError("no images: an empty list")
        for name, others in (("labels", labels), ("groups", groups), ("parts", parts)):
            if others is not None and len(others) != len(images):
                raise InputError(f"{len(images)} images but {len(others)} {name}: the lists must go together")
        self.parts = [path if path and Path(path).name != NO_PARTS else "" for path in parts or [""] * len(images)]
        self.has_parts = any(self.parts)
        if self.has_parts and labels is None:
            raise InputError("parts: go with labels")
        for path in [*images, *(labels or []), *filter(None, self.parts)]:
            if not Path(path).is_file():
                raise InputError(f"{path}: no such file")
        self.images, self.labels = list(images), list(labels) if labels is not None else None
        self.has_labels = labels is not None
        self.groups = list(groups) if groups is not None else ["all"] * len(images)
        self.inshape = tuple(inshape) if inshape is not None else read_image(images[0]).data.shape
        self.chosen = None if chosen is None else np.array(chosen, int).reshape(-1, 2)
        self._cached_parts: dict[int, np.ndarray] = {}
        self._cache: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[Sample],
        pairs: Iterable[tuple[Sample, Sample]] | None = None,
        inshape: Sequence[int] | None = None,
    ) -> "Vertebrae":
        """The Vertebrae of a manifest's Samples, grouped by level.

        Args:
            samples: Samples that show a vertebra.
            pairs: (fixed, moving) Samples among them; None pairs all different people of a level.
            inshape: As for the class.

        Raises:
            InputError: There are no samples.
        """
        samples = list(samples)
        if not samples:
            raise InputError("no samples: the cohort holds no vertebra to use")
        places = {sample.image: index for index, sample in enumerate(samples)}
        pairs = ordered_pairs(samples) if pairs is None else pairs
        chosen = [(places[fixed.image], places[moving.image]) for fixed, moving in pairs]
        images, labels, levels, parts = zip(*((s.image, s.label, s.level, s.parts) for s in samples), strict=True)
        return cls(list(images), list(labels), list(levels), inshape, chosen, list(parts))

    def __len__(self) -> int:
        return len(self.images)

    def names(self) -> list[str]:
        """The files' names without their folders, which may move."""
        return [Path(path).name for path in self.images]

    def pairs(self) -> np.ndarray:
        """The chosen pairs, or all ordered pairs of different vertebrae within a group: int [P, 2]."""
        if self.chosen is not None:
            if not len(self.chosen):
                raise InputError(f"no pairs: {len(self)} vertebrae, and a pair needs two people at one level")
            return self.chosen
        pairs = ordered_indices(self.groups)
        if not len(pairs):
            groups = len(set(self.groups))
            raise InputError(f"no pairs: {len(self)} vertebrae in {groups} groups, and a pair needs two in one group")
        return pairs

    def get(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Vertebra `index`, as `VertebraDataset.get`."""
        with self._lock:
            cached = self._cache.get(index)
        if cached is not None:
            return cached
        path = self.images[index]
        image = self._checked(path, read_image(path))
        if image.min() < 0 or image.max() > 1:
            raise InputError(
                f"{path}: intensities from {image.min():g} to {image.max():g}, but crops for training are in [0, 1]"
            )
        label = None
        if self.labels is not None:
            label = self._checked(self.labels[index], read_label(self.labels[index])) > 0
            if not label.any():
                raise InputError(f"{self.labels[index]}: the mask is empty")
        with self._lock:
            self._cache[index] = image.astype("float16"), label
            return self._cache[index]

    def get_parts(self, index: int) -> np.ndarray | None:
        """The map of parts of vertebra `index`, as `VertebraDataset.get_parts`."""
        path = self.parts[index]
        if not path:
            return None
        with self._lock:
            cached = self._cached_parts.get(index)
        if cached is not None:
            return cached
        data = self._checked(path, read_label(path))
        numbers = [number for group in PARTS.values() for number in group]
        parts = np.where(np.isin(data, numbers), data, 0).astype(np.uint8)
        if not parts.any():
            raise InputError(f"{path}: holds no part of a vertebra ({min(numbers)} to {max(numbers)})")
        with self._lock:
            return self._cached_parts.setdefault(index, parts)

    def _checked(self, path: str, volume: Image) -> np.ndarray:
        if volume.data.shape != self.inshape:
            raise InputError(f"{path}: shape {volume.data.shape}, but the network and the others have {self.inshape}")
        return volume.data


def read_list(path: str | os.PathLike, prefix: str | None = None, suffix: str | None = None) -> list[str]:
    """Read the paths that a text file names, one a line (voxelmorph's --img-list).

    Args:
        path: The list; relative paths in it start at its own folder.
        prefix: Put before each line.
        suffix: Put after each line.

    Returns:
        The paths, empty lines skipped.

    Raises:
        InputError: The list cannot be read or is empty.
    """
    names = [f"{prefix or ''}{line}{suffix or ''}" for line in read_lines(path)]
    return [str(Path(path).parent / name) for name in names]
