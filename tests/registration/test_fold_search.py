"""Where folds are looked for: cells of a grid and of a lattice that an affine turns, those that a change affects."""

import numpy as np

from acsgreg_tf.geometry import network_grid
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.fold_search import Cells, cells_over
from tests.helpers import noise, smooth_field
from tests.registration.cases import TURNED
from tests.registration.refine.cases import LATTICE, SHAPE


def test_cells_of_a_lattice_over_cells_of_a_grid():
    """Against a search through all of them, and the lattice is where the world transform puts the moving box."""
    deformation = Deformation(TURNED, np.zeros((*LATTICE, 3), "float32"), SHAPE, margin=(1, 2, 1))
    lattice = deformation.moving_lattice
    boxes = network_grid((0, 0, 0), SHAPE), network_grid((5, 3, -2), SHAPE)
    places = np.array([(2.0, 3, 1), (7, 0, 4.5)])
    grown = boxes[0].crop(-deformation.padding, np.add(SHAPE, deformation.padding))
    moved = deformation.world_affine(*boxes).apply(grown.index_to_points(places))
    np.testing.assert_allclose(boxes[1].points_to_index(moved), places @ lattice[:, :3].T + lattice[:, 3], atol=1e-9)
    cells = np.array([(2, 3, 1), (8, 3, 4)])
    everywhere = np.stack(np.meshgrid(*[np.arange(-30, 50)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    back = np.linalg.inv(np.vstack([lattice, (0, 0, 0, 1)]))
    inside = np.floor((everywhere + 0.5) @ back[:3, :3].T + back[:3, 3])
    near = (np.abs(inside[:, None] - cells).max(axis=-1) <= 1).any(axis=1)
    assert {tuple(c) for c in cells_over(cells, lattice)} == {tuple(c) for c in everywhere[near]}
    assert len(cells_over(cells[:0], lattice)) == 0


def test_folds_are_found_on_the_lattice_on_which_they_are():
    """A mirrored lattice sees the same folds, at the same places."""
    field = np.zeros((9, 9, 9, 3), "float32")
    field[4:, ..., 0] = -1.5  # the cells between x = 3 and 4 are inside out
    mirrored = np.array([[-1.0, 0, 0, 8], [0, 1, 0, 0], [0, 0, 1, 0]])
    for lattice in (None, mirrored):
        everywhere = np.argwhere(np.ones((8, 8, 8), bool))
        places = Cells(everywhere, halves=True, lattice=lattice).folds(field, 1)
        assert len(places) == 64 and (places[:, 0] == 3.5).all()
        assert len(Cells(everywhere, lattice=lattice).near(places[:1], 1.1).index) == 5  # itself and its neighbours


def test_a_change_affects_cells_near_it_and_cells_that_are_moved_there():
    """Whatever folds, at whatever bound, in the one field alone lies in a cell that counts as affected."""
    before = smooth_field((40, 24, 24), peak=6.0, sigma=3.0)[0].astype("float32")
    after = before.copy()
    after[30:33, 10:13, 10:13] += noise((3, 3, 3, 3), 0.3)
    everywhere = Cells(np.argwhere(np.ones((39, 23, 23), bool)), halves=True)
    affected = {tuple(cell) for cell in everywhere.affected(before, after).index}
    changed = set()
    for clear in np.linspace(0.1, 1.5, 15):
        old, new = ({tuple(place - 0.5) for place in everywhere.folds(field, 2, clear)} for field in (before, after))
        changed |= old ^ new
    assert changed and changed <= affected and len(affected) < len(everywhere.index) / 4
    assert any(abs(x - 31) > 4 for x, _, _ in changed)  # moved there from afar
    assert everywhere.affected(None, after) is everywhere
    assert len(everywhere.affected(before, before).index) == 0
