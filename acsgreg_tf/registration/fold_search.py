"""Where a displacement in parts folds: at the voxels of its own grid or of another lattice, and between them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import as_volume, at, sample
from acsgreg_tf.metrics.folded import edge_changes, least_determinant

# A determinant that is no larger counts as a fold, so that other grids find none either.
LEAST = 0.03
# Voxels by which two parts together change an edge of a cell, below which they do not fold it: three edges that change
# by less each span a positive volume.
BENT = 1 / np.sqrt(3)
# Voxels round a cell's middle and round its image, in which a change may change the cell.
_BESIDE = 3
# Nodes an axis of the look at one cell.
_NODES = 5
# Which cells among the nodes are looked at: from which node on, how many an axis, how many nodes wide.
_HALVES = np.array([(0, 1, 2), (0, 2, 1)])
_WHOLE_AND_HALVES = np.array([(1, 1, 2), (0, 2, 2), (0, 4, 1)])


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a lattice, to be looked at for folds of a displacement.

    Attributes:
        index: (N, 3), the cells' first corners in voxels of the lattice.
        halves: Look at each cell and at the half cells within it alone, which takes a quarter of the time.
        lattice: (3, 4), from voxels of the displacement's grid to those of the lattice; None is the grid itself.
    """

    index: np.ndarray
    halves: bool = False
    lattice: np.ndarray | None = None

    def folds(self, part: np.ndarray, parts: int, clear: float = LEAST) -> np.ndarray:
        """Where a displacement folds in these cells: places (N, 3), voxels of its grid.

        A fold is a cell in which one of the ten determinants is `clear` or less: of the lattice's own cells, of cells
        of half a voxel, and of whole cells that lie half a voxel beside the lattice's.

        Args:
            part: [X, Y, Z, 3], voxels, interpolated linearly.
            parts: How many of it, one after the other, make up the displacement.
            clear: By how much determinants must stay clear of 0.
        """
        folded = np.zeros(len(self.index), bool)
        to, back = _matrices(self.lattice)
        arguments = np.ascontiguousarray(self.index), to, back, part, parts, clear, self.halves, folded
        in_slabs(fold_between, len(self.index), *arguments, least=64)
        return (self.index[folded] + 0.5) @ back[:, :3].T + back[:, 3]

    def near(self, places: np.ndarray, reach: float = 4.0) -> "Cells":
        """Those within `reach` voxels of places (M, 3), voxels of the displacement's grid."""
        to, _ = _matrices(self.lattice)
        distances = KDTree(places @ to[:, :3].T + to[:, 3]).query(self.index + 0.5, distance_upper_bound=reach)[0]
        return replace(self, index=self.index[distances <= reach])

    def affected(self, before: np.ndarray | None, after: np.ndarray) -> "Cells":
        """Those in which two parts one after the other may differ from what they were; all where that is unknown.

        Args:
            before: [X, Y, Z, 3], the part as it was, or None.
            after: [X, Y, Z, 3], the part as it is.
        """
        if before is None or not len(self.index):
            return self
        # A cell has a diagonal of two voxels at most, and its image of few more.
        differs = before != after
        changed = ndimage.maximum_filter(differs[..., 0] | differs[..., 1] | differs[..., 2], 2 * _BESIDE + 1)
        _, back = _matrices(self.lattice)
        here = (self.index + 0.5) @ back[:, :3].T + back[:, 3]
        near = np.zeros(len(here), bool)
        for places in (here, here + sample(after, here)):
            near |= changed[tuple(np.clip(np.rint(places), 0, np.subtract(changed.shape, 1)).astype(int).T)]
        return replace(self, index=self.index[near])


def cells_over(cells: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """The cells (M, 3) of a lattice whose centres lie in some cells of a grid, or in a cell beside one of these.

    Args:
        cells: (N, 3), voxels of the grid.
        lattice: (3, 4), from voxels of the grid to those of the lattice.
    """
    if not len(cells):
        return cells
    to, back = _matrices(lattice)
    first, last = cells.min(axis=0) - 1, cells.max(axis=0) + 2
    marked = np.zeros(last - first, bool)
    marked[tuple((cells - first).T)] = True
    marked = ndimage.binary_dilation(marked, np.ones((3, 3, 3), bool))
    corners = np.stack(np.meshgrid(*zip(first, last, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    corners = corners @ to[:, :3].T + to[:, 3]
    start, stop = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    result = np.zeros(stop - start, bool)
    in_slabs(_look_up, len(result), marked, first, start, back, result)
    return np.argwhere(result) + start


def bent_cells(part: np.ndarray) -> np.ndarray:
    """The cells (N, 3) whose edges two parts, one after the other, may change by `BENT` or more.

    Args:
        part: [X, Y, Z, 3], voxels.
    """
    part = as_volume(part)
    change = np.empty(np.subtract(part.shape[:3], 1), np.float32)
    bent = np.empty(change.shape, bool)
    in_slabs(_changes, len(change), part, change)
    in_slabs(_bend, len(bent), part, change, BENT, bent)
    return np.argwhere(bent)


def _matrices(lattice: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """From the grid to the lattice and back, (3, 4) float64 each."""
    to = np.eye(3, 4) if lattice is None else np.asarray(lattice, float)
    return to, np.linalg.inv(np.vstack([to, (0, 0, 0, 1)]))[:3].copy()


@kernel
def _changes(part: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    """By how much a part changes the twelve edges of each cell, at most."""
    changes = np.empty((3, part.shape[2]), part.dtype)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            edge_changes(part, i, j, changes)
            for k in range(out.shape[2]):
                out[i, j, k] = np.sqrt(max(changes[0, k], changes[1, k], changes[2, k]))


@kernel
def _bend(part: np.ndarray, change: np.ndarray, bent: float, out: np.ndarray, start: int, stop: int) -> None:
    """Whether two parts may change an edge of a cell by `bent`: in the cell, and in those that it is moved to."""
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                first = change[i, j, k]
                for n in range(3):
                    place = (i, j, k)[n] + part[i, j, k, n]
                    # The other corners are at most three edges away.
                    low[n] = max(int(place - 3 * first), 0)
                    high[n] = min(int(place + 1 + 3 * first) + 1, change.shape[n])
                second = np.float32(0)
                for a in range(low[0], high[0]):
                    for b in range(low[1], high[1]):
                        for c in range(low[2], high[2]):
                            second = max(second, change[a, b, c])
                # An edge of the first part has |x| + |y| + |z| <= 1 + sqrt(3) first, each of which the second changes.
                out[i, j, k] = first + second * (1 + np.sqrt(3) * first) >= bent


@kernel
def _look_up(
    marked: np.ndarray, first: np.ndarray, begin: np.ndarray, back: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    """Whether the cell of the grid that holds a lattice cell's centre is marked."""
    there = np.empty(3, np.int64)
    for i in range(start, stop):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x, y, z = begin[0] + i + 0.5, begin[1] + j + 0.5, begin[2] + k + 0.5
                inside = True
                for n in range(3):
                    place = back[n, 0] * x + back[n, 1] * y + back[n, 2] * z + back[n, 3]
                    there[n] = int(np.floor(place)) - first[n]
                    inside = inside and 0 <= there[n] < marked.shape[n]
                if inside:
                    out[i, j, k] = marked[there[0], there[1], there[2]]


@kernel
def fold_between(
    cells: np.ndarray,
    to: np.ndarray,
    back: np.ndarray,
    part: np.ndarray,
    parts: int,
    clear: float,
    halves: bool,
    folded: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Whether each of some cells folds, as `Cells.folds` has it."""
    # Nodes half a voxel apart: those of the cell, or from half a voxel before it to half a voxel behind it.
    nodes, step, there = np.empty((_NODES, _NODES, _NODES, 3)), np.empty(3, np.float32), np.empty(3)
    before, side = (0, 3) if halves else (1, _NODES)
    for n in range(start, stop):
        known = 0
        if n > start and cells[n, 0] == cells[n - 1, 0] and cells[n, 1] == cells[n - 1, 1]:
            if cells[n, 2] == cells[n - 1, 2] + 1:
                # The next one along z: all nodes but the last two layers were those of the cell before.
                known = side - 2
                for i in range(side):
                    for j in range(side):
                        for k in range(known):
                            for axis in range(3):
                                nodes[i, j, k, axis] = nodes[i, j, k + 2, axis]
        for i in range(side):
            for j in range(side):
                for k in range(known, side):
                    x = cells[n, 0] + (i - before) / 2
                    y = cells[n, 1] + (j - before) / 2
                    z = cells[n, 2] + (k - before) / 2
                    for axis in range(3):
                        there[axis] = back[axis, 0] * x + back[axis, 1] * y + back[axis, 2] * z + back[axis, 3]
                    for _ in range(parts):
                        at(part, there[0], there[1], there[2], step)
                        for axis in range(3):
                            there[axis] += step[axis]
                    for axis in range(3):
                        nodes[i, j, k, axis] = to[axis, 0] * there[0] + to[axis, 1] * there[1] + to[axis, 2] * there[2]
        for look in range(2 if halves else 3):
            first, count, stride = (_HALVES if halves else _WHOLE_AND_HALVES)[look]
            folded[n] = folded[n] or _any_fold(nodes, first, count, clear * (stride / 2) ** 3, stride)


@kernel
def _any_fold(nodes: np.ndarray, first: int, count: int, clear: float, stride: int) -> bool:
    """Whether one of count^3 cells, `stride` nodes wide and from node `first` on, has a determinant up to `clear`."""
    corners = np.empty((2, 2, 2, 3))
    for i in range(count):
        for j in range(count):
            for k in range(count):
                for a in range(2):
                    for b in range(2):
                        for c in range(2):
                            x, y, z = first + stride * (i + a), first + stride * (j + b), first + stride * (k + c)
                            for n in range(3):
                                corners[a, b, c, n] = nodes[x, y, z, n]
                if least_determinant(corners) <= clear:
                    return True
    return False
