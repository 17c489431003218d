"""Other tools in the networks' terms: what they find maps the fixed vertebra onto the moving one, in the right direction."""

import locale

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from acsgreg_tf import evaluation, metrics, networks
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import Peer, evaluate, peers
from acsgreg_tf.evaluation.peers import PEERS, register_peer, voxelmorph_network
from acsgreg_tf.geometry import (
    Affine,
    Composite,
    affine_from_network,
    field_from_network,
    network_grid,
    resample,
    resample_label,
)
from acsgreg_tf.synthesis.generator import CohortGenerator
from tests.registration.cases import BOX, NUMBER, grid_about, save, save_network, scan

SHAPE, SPACING = (64, 64, 32), 2.0
GRID = network_grid((0, 0, 0), SHAPE, SPACING)


@pytest.fixture(scope="module")
def pair():
    """A generated vertebra, and itself turned, stretched and shifted; the affine in mm, fixed -> moving."""
    image, label = (volume[::2, ::2, ::2] for volume in CohortGenerator(0, ("L3",)).make(0))
    matrix = np.eye(4)
    matrix[:3] = [[1.05, 0.12, 0.0, 4.0], [-0.12, 0.95, 0.05, -3.0], [0.0, 0.05, 1.03, 2.0]]
    back = Affine(matrix).inverse()  # moving(y) = fixed(back(y)), so that fixed x lies at matrix x in the moving one
    return image, label > 0, resample(image, GRID, GRID, back), resample_label(label > 0, GRID, GRID, back), matrix


def overlaps(pair, answer):
    """Dice before, after the affine and after both, the label moved by the answer's own numbers."""
    affine = affine_from_network(answer.affine, GRID, GRID)
    transforms = (None, affine, Composite([field_from_network(answer.displacement, GRID), affine]))
    return [metrics.dice(pair[1], resample_label(pair[3], GRID, GRID, t)) for t in transforms]


def installed(name):
    module, package, _ = PEERS[name]
    return pytest.importorskip(module, reason=f"{package} (extra: peers) is not installed")


def test_ants_affine_finds_the_affine(pair):
    installed("ants-affine")
    answer = register_peer("ants-affine", pair[0], pair[2], SPACING)
    before, affine, final = overlaps(pair, answer)
    assert before < 0.8 and affine > 0.95 and final == affine
    points = (np.argwhere(pair[1]) - (np.array(SHAPE) - 1) / 2) * SPACING
    found = points @ answer.affine[:, :3].T + answer.affine[:, 3] * SPACING
    wanted = points @ pair[4][:3, :3].T + pair[4][:3, 3]
    assert np.linalg.norm(found - wanted, axis=1).mean() < 1
    assert answer.displacement.shape == (*SHAPE, 3) and not answer.displacement.any()
    assert answer.inverse is None and answer.seconds > 0


@pytest.fixture(scope="module")
def bent(pair):
    """The moving image and label bent besides, which an affine cannot undo."""
    u = np.zeros((*SHAPE, 3))
    u[..., 1] = 2.5 * np.sin(GRID.points()[..., 0] / 12)  # voxels
    bend = field_from_network(u, GRID)
    return pair[0], pair[1], resample(pair[2], GRID, GRID, bend), resample_label(pair[3], GRID, GRID, bend)


def test_ants_syn(bent):
    installed("ants-syn")
    answer = register_peer("ants-syn", bent[0], bent[2], SPACING)
    _, affine, final = overlaps(bent, answer)
    assert final > affine + 0.04 and final > 0.88
    assert metrics.folds(answer.displacement).percent < 0.1
    error = metrics.inverse_consistency_error(answer.displacement, answer.inverse, spacing=(2, 2, 2), mask=bent[1])
    assert 0 < error.mean < 0.2


def test_ants_syn_with_cross_correlation(bent):
    """Coarser, since this metric is slow; the fields must be another's than the default metric's."""
    installed("ants-syn-cc")
    fixed, moving = bent[0][::2, ::2, ::2], bent[2][::2, ::2, ::2]
    found = [register_peer(name, fixed, moving, 2 * SPACING) for name in ("ants-syn", "ants-syn-cc")]
    assert found[1].displacement.shape == (32, 32, 16, 3) and found[1].inverse.shape == (32, 32, 16, 3)
    assert 0 < np.abs(found[0].displacement - found[1].displacement).max() < 8


def test_elastix_taken_apart_is_what_elastix_does(bent, monkeypatch, tmp_path):
    """The affine and phi together move the image as elastix itself moved it."""
    itk = installed("elastix-bspline")
    shown = []

    def run(*images, run_=itk.elastix_registration_method, **options):
        shown.append(run_(*images, **options))
        return shown[0]

    monkeypatch.setattr(itk, "elastix_registration_method", run)
    settings = {"MaximumNumberOfIterations": 20, "FinalBSplineInterpolationOrder": 1}  # linear, as ours
    monkeypatch.setitem(PEERS, "elastix-bspline", ("itk", "itk-elastix", lambda *a: peers._elastix(*a, **settings)))
    monkeypatch.chdir(tmp_path)
    answer = register_peer("elastix-bspline", bent[0], bent[2], SPACING)
    assert not list(tmp_path.iterdir()), "nothing is left in the working folder"
    theirs = itk.array_from_image(shown[0][0]).T
    affine = affine_from_network(answer.affine, GRID, GRID)
    ours = resample(bent[2], GRID, GRID, Composite([field_from_network(answer.displacement, GRID), affine]))
    inside = bent[1]
    assert np.abs(ours - theirs)[inside].mean() < 0.004
    assert np.abs(bent[0] - theirs)[inside].mean() > 0.03 and np.abs(answer.displacement).max() > 0.5
    assert answer.inverse is None


@pytest.mark.tensorflow
def test_voxelmorphs_own_layers_in_a_network_find_what_ours_find(tmp_path):
    """voxelmorph's RescaleTransform doubles displacements where the grid, corner to corner, grows by 31 / 15."""
    network = networks.load(save_network(tmp_path / "small.h5"))
    rng = np.random.default_rng(0)
    fixed, moving = (gaussian_filter(rng.uniform(size=BOX), 2)[None, ..., None].astype("float32") for _ in range(2))
    ours = network({"fixed": fixed, "moving": moving}, training=False)
    theirs = {k: np.asarray(v) for k, v in voxelmorph_network(network)({"fixed": fixed, "moving": moving}).items()}
    theirs["phi"] = theirs["phi"] * (31 / 15) / 2
    for name, tolerance in (("affine", 1e-6), ("m_a", 1e-4), ("phi", 2e-3), ("m_d", 5e-3)):
        np.testing.assert_allclose(theirs[name], np.asarray(ours[name]), atol=tolerance, err_msg=name)
    assert np.abs(np.asarray(ours["phi"])).max() > 0.5
    with pytest.raises(InputError, match=r"takes \(128, 128, 64\)"):
        register_peer("voxelmorph-layers", fixed[0, ..., 0], moving[0, ..., 0])


def test_importing_ants_leaves_the_locale(pair):
    installed("ants-affine")
    before = locale.setlocale(locale.LC_ALL)
    register_peer("ants-affine", pair[0], pair[0])
    assert locale.setlocale(locale.LC_ALL) == before


def test_a_tool_that_fails_is_a_row_with_its_reason(tmp_path, monkeypatch):
    installed("ants-affine")
    names = {}
    for name, place in (("fixed", (0, 0, 0)), ("moving", (50, 20, 10))):
        ct, label = scan(grid_about(place, (40, 40, 40), 1.0), place)
        label = type(label)(np.where(label.data == NUMBER, 1, 0).astype("int16"), label.grid)
        names |= {
            name: save(ct, tmp_path / f"{name}.nii.gz"),
            f"{name}_seg": save(label, tmp_path / f"{name}_seg.nii.gz"),
        }

    def fail(fixed, moving, grid):
        raise RuntimeError("Registration failed\nwith error code 1")

    run = PEERS["ants-affine"][2]
    pairs = [names | {"level": "L1", "label": ""}]
    monkeypatch.setattr(evaluation, "BOX", (40, 40, 40))
    monkeypatch.setitem(PEERS, "ants-affine", ("ants", "antspyx", fail))
    (row,) = evaluate([Peer("ants-affine")], pairs, tmp_path / "out.csv")
    assert row["fault"] == "RuntimeError: with error code 1" and row["made_by"].startswith("antspyx ")
    monkeypatch.setitem(PEERS, "ants-affine", ("ants", "antspyx", run))
    (row,) = evaluate([Peer("ants-affine")], pairs, tmp_path / "out.csv")
    assert row["fault"] == "" and 0 < row["dice_affine"] < 1 and row["folds_count"] == 0
    assert np.isnan(row["inverse_error_mm"])


def test_what_is_not_there_is_said(pair, monkeypatch):
    with pytest.raises(InputError, match="must be one of network, ants-affine"):
        register_peer("syn", pair[0], pair[2])
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs antspyx, which pip install 'acsgreg_tf\[peers\]' brings"):
        register_peer("ants-syn", pair[0], pair[2])


def test_shapes_are_checked(pair):
    installed("ants-affine")
    with pytest.raises(InputError, match="are not one shape"):
        register_peer("ants-affine", pair[0], pair[2][1:])
