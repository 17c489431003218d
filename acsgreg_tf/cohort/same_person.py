"""Finds a person who appears in two lists under two names, by the shape of the bones.

Two vertebrae of one level are laid on each other by rigid ICP (Besl and McKay, IEEE PAMI 1992), mirrored ones too. The
same scan, resampled, flipped, moved or renamed, comes back to parts of a millimetre; two people stay apart.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from acsgreg_tf.anatomy.levels import LUMBAR, TABLES, levels_in
from acsgreg_tf.anatomy.vertebra import pick_label
from acsgreg_tf.cohort.manifest import COLUMNS, read_manifest, usable
from acsgreg_tf.cohort.people import Person, PersonScan, find_person_meshes, find_person_scans, read_people
from acsgreg_tf.cohort.scans import find_scans
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.geometry.distance import from_mask, surface_points
from acsgreg_tf.io.images import read_label
from acsgreg_tf.parallel import run_each
from acsgreg_tf.synthesis.sources import COLUMNS as SHAPE_COLUMNS
from acsgreg_tf.synthesis.sources import Source, read_sources

__all__ = [
    "Bone",
    "Match",
    "SAME_PERSON_MM",
    "Surface",
    "compare_people",
    "list_bones",
    "list_people_bones",
    "shape_distance",
]

# Measured on eighteen people's L2 and L3: the same scan or person 0.25 to 0.40 mm, two people 0.75 mm and more.
SAME_PERSON_MM = 0.55
SAMPLES = 1500  # points of one surface that look for the other
COARSE_STEPS, FINE_STEPS = 8, 40
LEAST_VOXELS = 100
_MESH_BOX = (160, 160, 160)  # mm, for meshes whose axes are not known
TRIM = 0.9  # the part of the points that counts: a cut tip has no partner


@dataclass(frozen=True)
class Bone:
    """One vertebra of a list.

    Attributes:
        person: Whose the list says it is.
        level: "L1" to "L5".
        label: Path of the label map, or of the mesh.
        number: Its number there; None where the map holds one vertebra alone.
        mesh: Whether the file is a mesh (.npz with vertices and faces).
    """

    person: str
    level: str
    label: str
    number: int | None = None
    mesh: bool = False


@dataclass(frozen=True)
class Match:
    """Two vertebrae of one level and how far apart their shapes are, mm."""

    level: str
    first: Bone
    second: Bone
    mm: float


def list_bones(source: str | os.PathLike, table: dict[str, int]) -> list[Bone]:
    """List the lumbar vertebrae that a list of people names.

    Args:
        source: A manifest of `prepare` or `generate`, the list of shapes that `generate` varies, or what `find_scans`
            reads: a folder of scans or a CSV list.
        table: {level: number} of label maps that hold several vertebrae.

    Returns:
        Bones, sorted by level and person.

    Raises:
        InputError: The source cannot be read or holds no lumbar vertebra.
    """
    if _has_columns(Path(source), COLUMNS):
        bones = [Bone(s.person, s.level, s.label) for s in usable(read_manifest(source), cut=True)]
    elif _has_columns(Path(source), SHAPE_COLUMNS):
        shapes = read_sources(source)
        bones = [Bone(s.person, s.level, str(s.path), s.label, s.kind == "mesh") for s in shapes]
    else:
        bones = []
        for scan in find_scans(source):
            if scan.label is None or scan.fault:
                continue
            if scan.level is not None:
                bones.append(Bone(scan.person, scan.level, str(scan.label), scan.number))
                continue
            for level in levels_in(read_label(scan.label).data, table):
                bones.append(Bone(scan.person, level, str(scan.label), table[level]))
    bones = [bone for bone in bones if bone.level in LUMBAR]
    if not bones:
        raise InputError(f"{source}: names no lumbar vertebra")
    return sorted(bones, key=lambda bone: (bone.level, bone.person, bone.label))


def list_people_bones(data: str | os.PathLike, side: str, people: str | os.PathLike | None = None) -> list[Bone]:
    """List the lumbar vertebrae of one side of a table of people, of all their label maps and meshes.

    Args:
        data: Folder of the scans.
        side: "train" or "test".
        people: The table (`cohort.people.read_people`); None is `people.csv` in `data`.

    Returns:
        Bones, sorted by level and person. Meshes (.npz) are among them, each with its file's name beside the person's,
        since a line of the table may be about several people.

    Raises:
        InputError: The table or a label map cannot be read.
    """
    bones: list[Bone] = []
    for person in read_people(Path(data) / "people.csv" if people is None else people):
        if person.side == side:
            for scan in find_person_scans(person, data):
                bones += _bones_of_scan(person, scan)
            meshes = find_person_meshes(person, data)
            bones += [Bone(f"{person.name} {path.stem}", level, str(path), mesh=True) for path, level in meshes]
    return sorted(bones, key=lambda bone: (bone.level, bone.person, bone.label))


def _bones_of_scan(person: Person, scan: PersonScan) -> list[Bone]:
    if scan.level is not None:
        return [Bone(person.name, scan.level, str(scan.label))] if scan.level in person.levels else []
    label, numbers = read_label(scan.label).data, TABLES[scan.table]
    held = [level for level in levels_in(label, numbers) if level in person.levels]
    # A scan's end may leave some voxels of the next vertebra, which have no shape.
    whole = [level for level in held if np.count_nonzero(label == numbers[level]) >= LEAST_VOXELS]
    return [Bone(person.name, level, str(scan.label), numbers[level]) for level in whole]


def _has_columns(path: Path, columns: Iterable[str]) -> bool:
    if not path.is_file():
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return set(columns) <= {name.strip() for name in file.readline().split(",")}


def compare_people(
    first: Iterable[Bone],
    second: Iterable[Bone],
    processes: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> list[Match]:
    """Compare every vertebra of one list with every one of the other at its level.

    Args:
        first: Bones, as `list_bones` returns them.
        second: Likewise. The same file and number on both sides is a match at 0 mm.
        processes: That compare side by side.
        progress: Called as progress(done, total) after each pair.

    Returns:
        Matches, nearest first. Those under SAME_PERSON_MM are very likely one person.

    Raises:
        InputError: A label map cannot be read, or holds no such vertebra.
    """
    second = list(second)
    pairs = [(a, b) for a in first for b in second if a.level == b.level]
    matches = []
    for (a, b), mm in run_each(_distance, pairs, processes):
        matches.append(Match(a.level, a, b, mm))
        if progress is not None:
            progress(len(matches), len(pairs))
    return sorted(matches, key=lambda match: match.mm)


def _distance(pair: tuple[Bone, Bone]) -> float:
    first, second = (_surface(bone) for bone in pair)
    return shape_distance(first, second)


@lru_cache(maxsize=256)
def _surface(bone: Bone) -> "Surface":
    """The surface of the vertebra's largest piece."""
    if bone.mesh:
        # Whatever its axes are: the comparison turns and mirrors.
        source = Source(Path(bone.label), "mesh", None, bone.level, bone.person, "RAS")
        return Surface.of(source.load(_MESH_BOX) < 0)
    label = read_label(bone.label)
    mask = label.data == pick_label(label, bone.number)
    pieces, count = ndimage.label(mask)
    if count > 1:
        mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    box = bounding_box(mask)
    if np.count_nonzero(mask) < LEAST_VOXELS:
        raise InputError(f"{bone.label}: level {bone.level} is too small for a vertebra")
    return Surface.of(mask[box], label.grid.spacing)


@dataclass(frozen=True, eq=False)
class Surface:
    """A vertebra's surface, ready to be compared.

    Attributes:
        distance: (X, Y, Z), the signed distance to it on a grid of 1 mm, mm.
        origin: (3,), mm, where voxel (0, 0, 0) lies; the surface's centre lies at 0.
        points: (N, 3), mm, on the surface.
        samples: At most SAMPLES of them, drawn once.
        tree: Of the points.
    """

    distance: np.ndarray
    origin: np.ndarray
    points: np.ndarray
    samples: np.ndarray
    tree: cKDTree

    @classmethod
    def of(cls, mask: np.ndarray, spacing: Sequence[float] | np.ndarray = (1.0, 1.0, 1.0)) -> "Surface":
        """Make one from a mask (X, Y, Z) with voxels of `spacing` mm.

        Raises:
            InputError: The mask is empty.
        """
        affine = np.diag([*spacing, 1.0])
        shape = tuple(int(n) for n in np.ceil(np.array(mask.shape) * spacing) + 10)
        distance = from_mask(mask, affine, shape=shape)
        points = surface_points(distance)
        origin = -points.mean(axis=0)
        points = points + origin
        chosen = np.random.default_rng(0).permutation(len(points))[:SAMPLES]
        return cls(distance, origin, points, points[chosen], cKDTree(points))

    def miss(self, points: np.ndarray) -> float:
        """Mean distance from the surface of the nearest 90 % of some points (N, 3), mm."""
        at = (points - self.origin).T
        miss = np.abs(ndimage.map_coordinates(self.distance, at, order=1, mode="nearest"))
        return float(np.sort(miss)[: max(int(TRIM * len(miss)), 1)].mean())


def shape_distance(a: Surface, b: Surface) -> float:
    """How far apart two surfaces stay after the best rigid motion, or the best one with a mirror.

    Returns:
        The larger of the two one-way means, mm, each over the nearest 90 % of its points.
    """
    starts = [_icp(a, b, turn, COARSE_STEPS) for turn in _starts(a, b)]
    matrix = min(starts, key=lambda start: start[1])[0]
    matrix, _ = _icp(a, b, matrix, FINE_STEPS)
    there = a.samples @ matrix[:, :3].T + matrix[:, 3]
    back = (b.samples - matrix[:, 3]) @ matrix[:, :3]
    return max(b.miss(there), a.miss(back))


def _starts(a: Surface, b: Surface) -> list[np.ndarray]:
    """[3, 4] each: as they lie, turned so that the principal axes coincide, and the mirror images of these."""
    axes = [np.linalg.svd(s.points, full_matrices=False)[2] for s in (a, b)]
    turns = [np.eye(3)]
    for signs in np.ndindex(2, 2, 2):
        turns.append(axes[1].T @ np.diag(1 - 2 * np.array(signs)) @ axes[0])
    turns.append(np.diag([-1.0, 1.0, 1.0]))
    return [np.c_[turn, np.zeros(3)] for turn in turns]


def _icp(a: Surface, b: Surface, matrix: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    """Iterated closest points from a start [3, 4]; a mirrored start stays mirrored."""
    mirror = np.diag([-1.0, 1.0, 1.0]) if np.linalg.det(matrix[:, :3]) < 0 else np.eye(3)
    source = a.samples @ mirror
    turn, shift = matrix[:, :3] @ mirror, matrix[:, 3]
    score = np.inf
    for _ in range(steps):
        moved = source @ turn.T + shift
        distance, index = b.tree.query(moved)
        near = distance <= np.quantile(distance, TRIM)
        score = float(distance[near].mean())
        target = b.points[index[near]]
        here = source[near]
        centres = here.mean(axis=0), target.mean(axis=0)
        rotation, _ = Rotation.align_vectors(target - centres[1], here - centres[0])
        new = rotation.as_matrix()
        still = np.abs(new - turn).max() < 1e-5
        turn, shift = new, centres[1] - new @ centres[0]
        if still:
            break
    return np.c_[turn @ mirror, shift], score
