"""Other tools in the networks' terms: their transforms map the fixed vertebra onto the moving one."""

import locale
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from acsgreg_tf import metrics, networks
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import evaluate
from acsgreg_tf.evaluation.peers import PEERS, Side, peer
from acsgreg_tf.evaluation.peers.voxelmorph_layers import voxelmorph_network
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
from tests.evaluation.cases import ShiftPeer
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
    """The peer; skips the test where its tool is not installed."""
    tool = peer(name)
    pytest.importorskip(tool.module, reason=f"{tool.package} (extra: peers) is not installed")
    return tool


@pytest.mark.slow
def test_ants_affine_is_the_affine(pair):
    answer = installed("ants-affine").align(pair[0], pair[2], SPACING)
    before, affine, final = overlaps(pair, answer)
    assert before < 0.8 and affine > 0.95 and final == affine
    points = (np.argwhere(pair[1]) - (np.array(SHAPE) - 1) / 2) * SPACING
    mapped = points @ answer.affine[:, :3].T + answer.affine[:, 3] * SPACING
    expected = points @ pair[4][:3, :3].T + pair[4][:3, 3]
    assert np.linalg.norm(mapped - expected, axis=1).mean() < 1
    assert answer.displacement.shape == (*SHAPE, 3) and not answer.displacement.any()
    assert answer.inverse is None and answer.seconds > 0


@pytest.fixture(scope="module")
def bent(pair):
    """The moving image and label bent besides, which an affine cannot undo."""
    u = np.zeros((*SHAPE, 3))
    u[..., 1] = 2.5 * np.sin(GRID.points()[..., 0] / 12)  # voxels
    bend = field_from_network(u, GRID)
    return pair[0], pair[1], resample(pair[2], GRID, GRID, bend), resample_label(pair[3], GRID, GRID, bend)


@pytest.mark.slow
def test_ants_syn(bent):
    answer = installed("ants-syn").align(bent[0], bent[2], SPACING)
    _, affine, final = overlaps(bent, answer)
    assert final > affine + 0.04 and final > 0.88
    assert metrics.folds(answer.displacement).percent < 0.1
    error = metrics.inverse_consistency_error(answer.displacement, answer.inverse, spacing=(2, 2, 2), mask=bent[1])
    assert 0 < error.mean < 0.2


@pytest.mark.slow
def test_ants_syn_with_cross_correlation(bent):
    """Coarser, since this metric is slow; the fields must differ from the default metric's."""
    fixed, moving = bent[0][::2, ::2, ::2], bent[2][::2, ::2, ::2]
    plain, other = (installed(name).align(fixed, moving, 2 * SPACING) for name in ("ants-syn", "ants-syn-cc"))
    assert other.displacement.shape == (32, 32, 16, 3) and other.inverse.shape == (32, 32, 16, 3)
    assert 0 < np.abs(plain.displacement - other.displacement).max() < 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["greedy", "greedy-distance", "ants-syn-distance"])
def test_a_tool_brings_the_bent_vertebra_back(bent, name):
    answer = installed(name).align(bent[0], bent[2], SPACING, shares=(bent[1], bent[3]))
    before, affine, final = overlaps(bent, answer)
    assert affine > before and final > affine + 0.04 and final > 0.88
    assert metrics.folds(answer.displacement).percent < 0.1
    error = metrics.inverse_consistency_error(answer.displacement, answer.inverse, spacing=(2, 2, 2), mask=bent[1])
    assert 0 < error.mean < 0.5


@pytest.mark.slow
def test_ants_with_the_labels_as_a_second_channel(bent):
    """Coarser, since cross-correlation is slow; a heavy second channel pulls otherwise than a light one."""
    fixed, moving, *labels = (volume[::2, ::2, ::2] for volume in (bent[0], bent[2], bent[1], bent[3]))
    options = (("reg_iterations", (10, 5)),)
    tools = [replace(installed("ants-syn-both"), weight=weight, options=options) for weight in (0.01, 100.0)]
    light, heavy = (tool.align(fixed, moving, 2 * SPACING, shares=labels).displacement for tool in tools)
    assert light.shape == (32, 32, 16, 3) and 0.05 < np.abs(light - heavy).max() < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options", [("greedy-distance", {}), ("ants-syn-distance", {}), ("cpd-surface", {"points": 500})]
)
def test_a_tool_that_sees_labels_sees_those_it_was_given(bent, name, options):
    """With the fixed label on both sides there is nothing to do, whatever the images; CPD's affine sees them too."""
    tool = replace(installed(name), **options)
    answer = tool.align(bent[0], bent[2], SPACING, shares=(bent[1], bent[3]))
    still = tool.align(bent[0], bent[0], SPACING, shares=(bent[1], bent[1]))
    moved, left = (np.linalg.norm(a.displacement[bent[1]], axis=-1).mean() for a in (answer, still))
    assert moved > 0.5 and left < 0.15


@pytest.mark.slow
def test_point_drift_finds_the_affine_and_the_bend(pair, bent):
    """Of a shape that was moved by an affine alone, and of one that was bent besides."""
    cpd = replace(installed("cpd-surface"), points=1000)
    answer = cpd.align(pair[0], pair[2], SPACING, shares=(pair[1], pair[3]))
    points = (np.argwhere(pair[1]) - (np.array(SHAPE) - 1) / 2) * SPACING
    mapped = points @ answer.affine[:, :3].T + answer.affine[:, 3] * SPACING
    expected = points @ pair[4][:3, :3].T + pair[4][:3, 3]
    assert np.linalg.norm(mapped - expected, axis=1).mean() < 1.5
    answer = cpd.align(bent[0], bent[2], SPACING, shares=(bent[1], bent[3]))
    _, affine, final = overlaps(bent, answer)
    assert final > affine + 0.03 and final > 0.88 and answer.inverse is None


@pytest.mark.slow
def test_greedys_failure_is_an_error_with_its_last_line(bent):
    broken = replace(installed("greedy"), options="-no-such-option")
    with pytest.raises(RuntimeError, match="greedy ended with code 1: .*no-such-option"):
        broken.align(bent[0], bent[2], SPACING)


@pytest.mark.slow
def test_elastix_taken_apart_is_what_elastix_does(bent, monkeypatch, tmp_path):
    """The affine and phi together move the image as elastix itself moved it."""
    elastix = installed("elastix-bspline")
    itk = pytest.importorskip("itk")
    moved = []

    def run(*images, run_=itk.elastix_registration_method, **options):
        moved.append(run_(*images, **options))
        return moved[0]

    monkeypatch.setattr(itk, "elastix_registration_method", run)
    monkeypatch.chdir(tmp_path)
    settings = (("MaximumNumberOfIterations", 20), ("FinalBSplineInterpolationOrder", 1))  # linear, as ours
    answer = replace(elastix, settings=settings).align(bent[0], bent[2], SPACING)
    assert not list(tmp_path.iterdir()), "nothing is left in the working folder"
    theirs = itk.array_from_image(moved[0][0]).T
    affine = affine_from_network(answer.affine, GRID, GRID)
    ours = resample(bent[2], GRID, GRID, Composite([field_from_network(answer.displacement, GRID), affine]))
    inside = bent[1]
    assert np.abs(ours - theirs)[inside].mean() < 0.004
    assert np.abs(bent[0] - theirs)[inside].mean() > 0.03 and np.abs(answer.displacement).max() > 0.5
    assert answer.inverse is None


@pytest.mark.tensorflow
def test_voxelmorphs_own_layers_in_a_network_compute_what_ours_compute(tmp_path):
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
    with pytest.raises(InputError, match=r"\(32, 32, 32\).*\(128, 128, 64\)"):
        peer("voxelmorph-layers").align(fixed[0, ..., 0], moving[0, ..., 0])


@pytest.mark.slow
def test_importing_ants_leaves_the_locale(pair):
    ants = installed("ants-affine")
    before = locale.setlocale(locale.LC_ALL)
    ants.align(pair[0], pair[0])
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A pair of scans of one vertebra."""
    folder = tmp_path_factory.mktemp("scans")
    names = {"level": "L1", "label": ""}
    for name, place in (("fixed", (0, 0, 0)), ("moving", (50, 20, 10))):
        ct, label = scan(grid_about(place, (40, 40, 40), 1.0), place)
        label = type(label)(np.where(label.data == NUMBER, 1, 0).astype("int16"), label.grid)
        names |= {
            name: save(ct, folder / f"{name}.nii.gz"),
            f"{name}_seg": save(label, folder / f"{name}_seg.nii.gz"),
        }
    return names


def test_a_tool_is_measured_as_a_network_is_and_its_failure_is_a_row(scans, tmp_path):
    tools = [ShiftPeer(name, (40, 40, 40), shift) for name, shift in (("still", 0.0), ("off", 3.0), ("fails", 9.0))]
    still, off, fails = evaluate(tools, [scans], tmp_path / "out.csv")
    assert still["dice_affine"] == still["dice_before"] == off["dice_before"] > 0.97
    assert off["hd95_mm_affine"] == pytest.approx(3, abs=0.3) and off["dice_affine"] < 0.8
    assert off["folds_count"] == 0 and np.isnan(off["inverse_error_mm"]) and off["seconds"] == 2.5
    assert fails["fault"] == "RuntimeError: with error code 1" and fails["made_by"].startswith("numpy ")


@pytest.mark.slow
def test_ants_beside_a_network(scans, tmp_path):
    ants = replace(installed("ants-affine"), shape=(40, 40, 40))
    (row,) = evaluate([ants], [scans], tmp_path / "out.csv")
    assert row["fault"] == "" and 0 < row["dice_affine"] < 1 and row["made_by"].startswith("antspyx ")


@dataclass(frozen=True)
class MissingPeer(ShiftPeer):
    module: ClassVar[str] = "no_module_of_this_name"
    package: ClassVar[str] = "nothing"


def test_a_tool_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="'syn': must be one of network, ants-affine"):
        peer("syn")
    images = np.zeros((8, 8, 8)), np.zeros((8, 8, 8))
    with pytest.raises(InputError, match=r"missing: needs nothing; .*pip install '\.\[peers\]'"):
        MissingPeer("missing").align(*images)
    with pytest.raises(InputError, match="missing"):
        MissingPeer("missing").made_by()


@dataclass(frozen=True)
class WatchingPeer(ShiftPeer):
    """Keeps the sides that it gets in `sides`."""

    sides: list = field(default_factory=list, compare=False)

    def align_on(self, grid, fixed, moving):
        self.sides.extend((fixed, moving))
        return super().align_on(grid, fixed, moving)


def test_a_tool_is_given_the_labels_with_the_crops(scans):
    tool = WatchingPeer("watching", (40, 40, 40))
    tool.run(scans)
    for side in tool.sides:
        assert side.image.shape == side.share.shape == (40, 40, 40)
        np.testing.assert_array_equal(side.image > 0, side.share > 0.5)
        distance = side.distance(3.0)
        assert distance.min() == -3 and distance.max() == 3
        assert ((distance < 0) != (side.share > 0.5)).mean() < 0.01


def test_distances_are_mm_and_need_a_surface():
    share = np.zeros((20, 20, 20), np.float32)
    share[5:15, 5:15, 5:15] = 1
    fine, coarse = (Side(share, share, spacing).distance() for spacing in (1.0, 2.0))
    np.testing.assert_allclose(coarse, 2 * fine)
    assert fine[10, 10, 10] == pytest.approx(-4.5, abs=0.1) and fine[0, 10, 10] == pytest.approx(4.5, abs=0.1)
    with pytest.raises(InputError, match="no surface"):
        Side(share, 0 * share).distance()


def test_where_rows_come_from_names_the_version_and_the_settings():
    plain, off = ShiftPeer("off"), ShiftPeer("off", (8, 8, 8), 2.5)
    assert (
        plain.made_by() == f"numpy {np.__version__}, shift=0.0"
        and off.made_by() == f"numpy {np.__version__}, shift=2.5"
    )
    assert WatchingPeer("watching").made_by() == plain.made_by()


def test_shapes_are_checked():
    with pytest.raises(InputError, match=r"\(8, 8, 8\), \(7, 8, 8\)"):
        ShiftPeer("still").align(np.zeros((8, 8, 8)), np.zeros((7, 8, 8)))
    with pytest.raises(InputError, match=r"\(7, 8, 8\)"):
        ShiftPeer("still").align(*(np.zeros((8, 8, 8)),) * 2, shares=(np.zeros((8, 8, 8)), np.zeros((7, 8, 8))))


def test_the_tools_of_every_module_are_known_by_their_names():
    assert {"ants-affine", "elastix-bspline", "voxelmorph-layers", "greedy", "cpd-surface"} <= set(PEERS)
    assert all(name == tool.name for name, tool in PEERS.items())
