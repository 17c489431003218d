"""The command line of warp.py: images, labels, points and surfaces in both directions, and faults in one line."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.warp import main
from acsgreg_tf.geometry import Affine, Composite, DenseField, resample, resample_label
from acsgreg_tf.io.images import read_image
from acsgreg_tf.io.transforms import write_transform
from acsgreg_tf.registration import register
from tests.registration.cases import NUMBER, KnownNetwork, grid_about, save, scan, smooth_velocity

FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)

# Places on the made-up vertebra, mm about its middle: body, tip of the spinous process, the two transverse ones.
LANDMARKS = np.array([(0, 4, 1), (0, -9, -1), (10, -2, 0), (-9, -3, 2)], float)


class Case:
    """Two scans of one registration, its result, and its files as register.py writes them."""

    def __init__(self, folder):
        self.fixed = scan(grid_about(FIXED, (40, 44, 36), (1, 1.2, 1.4), (0.2, -0.1, 0.3), "PIR"), FIXED)
        self.moving = scan(grid_about(MOVING, (30, 56, 40), (1.5, 0.9, 1.3), (-0.3, 0.2, 0.1), "LSA"), MOVING)
        affine = np.eye(3, 4) + 0.08 * np.random.default_rng(3).uniform(-1, 1, (3, 4))
        affine[:, 3] = (1.5, -2, 1)
        network = KnownNetwork(affine, smooth_velocity((16, 16, 16), 1.5))
        self.result = register(
            *(self.fixed[0], self.moving[0]),
            **{
                "fixed_seg": self.fixed[1],
                "moving_seg": self.moving[1],
                "label": NUMBER,
                "model": network,
                "fit_affine": False,
            },
        )
        self.files = {}
        for name, pair in (("fixed", self.fixed), ("moving", self.moving)):
            for image, what in zip(pair, ("ct", "seg"), strict=True):
                self.files[f"{name}_{what}"] = save(image, folder / f"{name}_{what}.nii.gz")
        for ending in (".h5", ".nii.gz", ".npz"):
            for name, transform, grid in (
                ("warp", self.result.transform, self.fixed[0].grid),
                ("inverse", self.result.inverse, self.moving[0].grid),
            ):
                self.files[f"{name}{ending}"] = str(folder / f"{name}{ending}")
                write_transform(self.files[f"{name}{ending}"], transform, grid)
        for ending in (".tfm", ".txt", ".npy"):
            self.files[f"affine{ending}"] = str(folder / f"affine{ending}")
            write_transform(self.files[f"affine{ending}"], self.result.affine)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("case"))


def points_file(folder, points, name="points.csv"):
    path = folder / name
    np.savetxt(path, points, delimiter=",", header="x,y,z", comments="")
    return path


def read_points_file(path):
    return np.loadtxt(path, delimiter=",", skiprows=1)


# direction


def test_a_landmark_of_the_moving_vertebra_lands_on_its_place_on_the_fixed_one(tmp_path):
    """The two scans show one vertebra in two frames, so that every landmark's place is known beforehand."""
    fixed = scan(grid_about(FIXED, (44, 46, 52), 1), FIXED)
    turn = nib.eulerangles.euler2mat(0.1, -0.2, 0.15) @ np.diag([1.05, 0.95, 1])
    to_moving = np.eye(4)
    to_moving[:3, :3], to_moving[:3, 3] = turn, MOVING - turn @ FIXED
    grid = grid_about(MOVING, (72, 72, 80), 0.7)
    moving = scan(grid, FIXED, transform=Affine(np.linalg.inv(to_moving)))
    # A perfect registration of these two is to_moving: fixed RAS mm -> moving RAS mm, as an affine file says it.
    np.save(tmp_path / "affine.npy", to_moving)
    landmarks = {"fixed": LANDMARKS + FIXED, "moving": LANDMARKS @ turn.T + MOVING}
    points = points_file(tmp_path, landmarks["moving"])
    out = tmp_path / "out.csv"
    assert main(["--points", str(points), "--warp", str(tmp_path / "affine.npy"), "--out", str(out)]) == 0
    np.testing.assert_allclose(read_points_file(out), landmarks["fixed"], atol=1e-4)

    # The image goes the same way: after it, the moving scan shows at the fixed landmarks what it showed at its own.
    image = save(moving[0], tmp_path / "moving.nii.gz")
    reference = save(fixed[0], tmp_path / "fixed.nii.gz")
    moved = tmp_path / "moved.nii.gz"
    arguments = ["--image", image, "--reference", reference, "--warp", str(tmp_path / "affine.npy")]
    assert main([*arguments, "--out", str(moved)]) == 0
    inside = fixed[1].data == NUMBER
    assert np.corrcoef(read_image(moved).data[inside], fixed[0].data[inside])[0, 1] > 0.98


@pytest.mark.parametrize("ending", [".h5", ".nii.gz", ".npz"])
def test_points_go_through_the_inverse_and_back_through_the_warp(case, tmp_path, ending):
    on_fixed = LANDMARKS + FIXED
    on_moving = case.result.transform.apply(on_fixed)
    out = tmp_path / "out.csv"
    both = ["--warp", case.files[f"warp{ending}"], "--inverse-warp", case.files[f"inverse{ending}"], "--out", str(out)]
    assert main(["--points", str(points_file(tmp_path, on_moving)), *both]) == 0
    expected = case.result.inverse.apply(on_moving)
    # A total displacement lies on the scan's own coarse grid and is interpolated there.
    tolerance = 1e-3 if ending == ".h5" else 0.15
    np.testing.assert_allclose(read_points_file(out), expected, atol=tolerance)
    np.testing.assert_allclose(expected, on_fixed, atol=0.1)
    assert main(["--points", str(points_file(tmp_path, on_fixed)), "--inverse", *both]) == 0
    np.testing.assert_allclose(read_points_file(out), on_moving, atol=tolerance)


def test_slicers_points_keep_their_coordinates(case, tmp_path):
    on_moving = case.result.transform.apply(LANDMARKS + FIXED)
    control = [{"label": "tip", "position": (point * (-1, -1, 1)).tolist()} for point in on_moving]
    content = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": control}]}
    (tmp_path / "p.mrk.json").write_text(json.dumps(content))
    arguments = ["--inverse-warp", case.files["inverse.h5"], "--out", str(tmp_path / "q.mrk.json")]
    assert main(["--points", str(tmp_path / "p.mrk.json"), *arguments]) == 0
    markup = json.loads((tmp_path / "q.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert markup["coordinateSystem"] == "LPS"
    actual = np.array([point["position"] for point in markup["controlPoints"]]) * (-1, -1, 1)
    np.testing.assert_allclose(actual, LANDMARKS + FIXED, atol=0.1)

    rows = "".join(f"{n},{x},{y},{z},0,0,0,1,1,1,0,F,,\n" for n, (x, y, z) in enumerate(on_moving * (-1, -1, 1)))
    (tmp_path / "p.fcsv").write_text(f"# CoordinateSystem = LPS\n{rows}")
    assert main(["--points", str(tmp_path / "p.fcsv"), *arguments[:-1], str(tmp_path / "q.fcsv")]) == 0
    actual = np.genfromtxt(tmp_path / "q.fcsv", delimiter=",", usecols=(1, 2, 3)) * (-1, -1, 1)
    np.testing.assert_allclose(actual, LANDMARKS + FIXED, atol=0.1)


def test_csv_in_lps(case, tmp_path):
    on_moving = case.result.transform.apply(LANDMARKS + FIXED)
    arguments = ["--inverse-warp", case.files["inverse.h5"], "--out", str(tmp_path / "out.csv")]
    source = points_file(tmp_path, on_moving * (-1, -1, 1))
    assert main(["--points", str(source), "--coordinates", "lps", *arguments]) == 0
    np.testing.assert_allclose(read_points_file(tmp_path / "out.csv") * (-1, -1, 1), LANDMARKS + FIXED, atol=0.1)


@pytest.mark.parametrize("ending", [".stl", ".ply", ".vtk"])
def test_surfaces_go_as_points_do(case, tmp_path, ending):
    pytest.importorskip("vtkmodules", reason="surfaces need the vtk package")
    import trimesh

    from acsgreg_tf.io.surfaces import read_surface

    sphere = trimesh.creation.icosphere(subdivisions=1, radius=6)
    sphere.apply_translation(MOVING)
    sphere.export(tmp_path / "s.stl")
    source = tmp_path / f"s{ending}"
    if ending != ".stl":
        if ending == ".ply":
            sphere.export(source)
        else:
            triangles = "".join(f"3 {a} {b} {c}\n" for a, b, c in sphere.faces)
            points = "".join(f"{x} {y} {z}\n" for x, y, z in sphere.vertices)
            source.write_text(
                f"# vtk DataFile Version 3.0\nsphere\nASCII\nDATASET POLYDATA\nPOINTS {len(sphere.vertices)} float\n"
                f"{points}POLYGONS {len(sphere.faces)} {4 * len(sphere.faces)}\n{triangles}"
            )
    out = tmp_path / f"out{ending}"
    assert main(["--surface", str(source), "--inverse-warp", case.files["inverse.h5"], "--out", str(out)]) == 0
    before, after = read_surface(source).points, read_surface(out).points
    np.testing.assert_allclose(after, case.result.inverse.apply(before), atol=1e-3)
    assert np.linalg.norm(after.mean(axis=0) - FIXED) < 5


# images


@pytest.mark.parametrize("ending", [".h5", ".nii.gz", ".npz"])
def test_images_and_labels_as_register_moved_them(case, tmp_path, ending):
    warp = ["--warp", case.files[f"warp{ending}"], "--reference", case.files["fixed_ct"]]
    out = tmp_path / "out.nii.gz"
    assert main(["--image", case.files["moving_ct"], *warp, "--out", str(out)]) == 0
    moved = read_image(out)
    assert np.abs(moved.data - case.result.moved.data).max() < 1e-3 * np.ptp(case.moving[0].data)
    assert moved.grid.isclose(case.fixed[0].grid)
    assert main(["--label", case.files["moving_seg"], *warp, "--out", str(out)]) == 0
    actual = np.asarray(nib.load(out).dataobj)
    assert set(np.unique(actual)) == {0, NUMBER - 1, NUMBER}  # every label of the map, not the registered one alone
    assert np.mean((actual == NUMBER) == (case.result.moved_seg.data == NUMBER)) > 0.9995
    assert main(["--image", case.files["moving_seg"], *warp, "--interp", "nearest", "--out", str(out)]) == 0
    assert set(np.unique(nib.load(out).dataobj)) == {0, NUMBER - 1, NUMBER}


def test_a_displacement_brings_its_own_grid(case, tmp_path):
    out = tmp_path / "out.nii.gz"
    assert main(["--image", case.files["moving_ct"], "--warp", case.files["warp.nii.gz"], "--out", str(out)]) == 0
    assert read_image(out).grid.isclose(case.fixed[0].grid)


def test_fixed_onto_moving(case, tmp_path):
    out = tmp_path / "out.nii.gz"
    arguments = ["--inverse", "--inverse-warp", case.files["inverse.h5"], "--reference", case.files["moving_ct"]]
    assert main(["--label", case.files["fixed_seg"], *arguments, "--out", str(out)]) == 0
    expected = resample_label(case.fixed[1].data, case.fixed[1].grid, case.moving[0].grid, case.result.inverse)
    assert np.mean(np.asarray(nib.load(out).dataobj) == expected) > 0.9995
    assert (expected == NUMBER).sum() > 500


@pytest.mark.parametrize("ending", [".tfm", ".txt", ".npy"])
def test_an_affine_serves_both_ways(case, tmp_path, ending):
    affine = case.files[f"affine{ending}"]
    out = tmp_path / "out.nii.gz"
    common = ["--reference", case.files["fixed_ct"], "--out", str(out)]
    assert main(["--image", case.files["moving_ct"], "--warp", affine, *common]) == 0
    # -1024: air, where the moving CT does not reach.
    expected = resample(case.moving[0].data, case.moving[0].grid, case.fixed[0].grid, case.result.affine, fill=-1024)
    assert (expected == -1024).any()
    np.testing.assert_allclose(read_image(out).data, expected, atol=0.05)
    points = points_file(tmp_path, LANDMARKS + MOVING)
    assert main(["--points", str(points), "--warp", affine, "--out", str(tmp_path / "q.csv")]) == 0
    np.testing.assert_allclose(
        read_points_file(tmp_path / "q.csv"), case.result.affine.inverse().apply(LANDMARKS + MOVING), atol=1e-4
    )


def test_a_warp_of_voxelmorphs_own(case, tmp_path):
    """It holds voxels and no place, so the fixed image must be there to say where it lies."""
    shape = case.fixed[0].data.shape
    vol = np.zeros((*shape, 3), np.float32)
    vol[..., 1] = 2
    np.savez(tmp_path / "vxm.npz", vol=vol)
    out = tmp_path / "out.nii.gz"
    arguments = ["--image", case.files["fixed_ct"], "--warp", str(tmp_path / "vxm.npz"), "--out", str(out)]
    assert main([*arguments, "--reference", case.files["fixed_ct"]]) == 0
    np.testing.assert_allclose(read_image(out).data[:, :-2], case.fixed[0].data[:, 2:], atol=0.05)
    assert main(arguments) == 2


def test_points_outside_of_a_displacement_are_warned_of(case, tmp_path, capsys):
    points = points_file(tmp_path, np.vstack([LANDMARKS + MOVING, (0, 0, 500)]))
    arguments = ["--points", str(points), "--out", str(tmp_path / "q.csv")]
    assert main([*arguments, "--inverse-warp", case.files["inverse.nii.gz"]]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {points}: points: 1 of 5 lie outside") and warning.count("\n") == 1
    assert main([*arguments, "--inverse-warp", case.files["inverse.h5"]]) == 0
    assert capsys.readouterr().err == ""


def test_an_image_that_is_nowhere_near_is_warned_of(case, tmp_path, capsys):
    arguments = ["--image", case.files["fixed_ct"], "--reference", case.files["fixed_ct"]]
    assert main([*arguments, "--warp", case.files["warp.h5"], "--out", str(tmp_path / "o.nii")]) == 0
    assert "does not reach the grid of the result" in capsys.readouterr().err


# what cannot be done


def fails(arguments, capsys):
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    return shown.err[len("error: ") : -1]


def test_the_inverse_of_a_displacement_is_not_guessed(case, tmp_path, capsys):
    points = points_file(tmp_path, LANDMARKS)
    out = ["--out", tmp_path / "q.csv"]
    for ending in (".h5", ".nii.gz", ".npz"):
        warp = case.files[f"warp{ending}"]
        message = fails(["--points", points, "--warp", warp, *out], capsys)
        assert message.startswith(f"{warp}: holds a displacement, which has no exact inverse")
        assert "carry points from moving onto fixed give --inverse-warp" in message
    inverse = case.files["inverse.h5"]
    message = fails(["--points", points, "--inverse", "--inverse-warp", inverse, *out], capsys)
    assert "carry points from fixed onto moving give --warp" in message
    image = ["--image", case.files["moving_ct"], "--reference", case.files["fixed_ct"], "--out", tmp_path / "o.nii"]
    assert "to carry image from moving onto fixed give --warp" in fails([*image, "--inverse-warp", inverse], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]


def test_bad_options_and_files(case, tmp_path, capsys):
    points = points_file(tmp_path, LANDMARKS)
    warp = ("--warp", case.files["warp.h5"])
    image = ("--image", case.files["moving_ct"])
    out = ("--out", tmp_path / "o.nii")
    csv = ("--out", tmp_path / "o.csv")
    assert "--warp or --inverse-warp" in fails([*image, *out], capsys)
    assert fails([*image, *warp, *out], capsys).startswith("--reference: is needed")
    assert "is for --image, not for --points" in fails(["--points", points, "--interp", "linear", *warp, *csv], capsys)
    assert "is for --points and --surface" in fails([*image, "--coordinates", "RAS", *warp, *out], capsys)
    assert "--out must end in .nii" in fails([*image, *warp, *csv], capsys)
    assert "must end in .csv" in fails(["--points", points, *warp, "--out", tmp_path / "o.fcsv"], capsys)
    assert "would replace an input" in fails(["--points", points, *warp, "--out", points], capsys)
    assert "does not exist" in fails(["--points", points, *warp, "--out", tmp_path / "gone" / "o.csv"], capsys)
    assert "unknown ending" in fails([*image, "--warp", tmp_path / "w.xyz", *out], capsys)
    assert "no such file" in fails([*image, "--warp", tmp_path / "w.h5", "--reference", image[1], *out], capsys)
    assert "no such file" in fails(["--points", tmp_path / "none.csv", "--inverse", *warp, *csv], capsys)
    assert "not allowed with argument" in fails([*image, "--points", points, *warp, *out], capsys)
    (tmp_path / "w.h5").write_text("none")
    message = fails([*image, "--warp", tmp_path / "w.h5", "--reference", image[1], *out], capsys)
    assert message.startswith(f"{tmp_path / 'w.h5'}: a damaged or truncated HDF5 file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points.csv", "w.h5"]


def test_without_vtk_a_surface_is_refused_in_one_line(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "acsgreg_tf.io.surfaces", None)
    monkeypatch.delattr("acsgreg_tf.io.surfaces", raising=False)
    arguments = ["--surface", tmp_path / "s.stl", "--warp", case.files["warp.h5"], "--out", tmp_path / "o.stl"]
    assert "vtk" in fails(arguments, capsys)


def test_the_help_says_which_way_and_nothing_heavy_is_imported():
    heavy = ("keras", "tensorflow", "vtkmodules", "matplotlib")
    code = (
        "import sys; from acsgreg_tf.cli.warp import main\n"
        f"try: main(['--help'])\nfinally: print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.endswith("[]\n")
    words = " ".join(result.stdout.split())
    assert (
        "a landmark marked on the moving vertebra comes out where the same landmark lies on the fixed vertebra" in words
    )


def test_composites_of_other_tools(case, tmp_path):
    """As ANTs and Slicer make them: any number of parts in one file."""
    field = DenseField(np.zeros((*case.fixed[0].grid.shape, 3), np.float32) + (1, 2, 3), case.fixed[0].grid)
    shift = np.eye(4)
    shift[:3, 3] = (10, 0, 0)
    write_transform(tmp_path / "chain.h5", Composite([Affine(shift), field, Affine(shift)]))
    points = points_file(tmp_path, LANDMARKS + FIXED)
    arguments = ["--inverse", "--warp", str(tmp_path / "chain.h5"), "--out", str(tmp_path / "q.csv")]
    assert main(["--points", str(points), *arguments]) == 0
    np.testing.assert_allclose(read_points_file(tmp_path / "q.csv"), LANDMARKS + FIXED + (21, 2, 3), atol=1e-4)
