"""Lists of points: each format by known coordinates, and what is refused."""

import json

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.points import read_points

RAS = np.array([[1.5, -2, 3], [-40, 50.25, 60]])
LPS = RAS * (-1, -1, 1)


def markups(system, points, kind="Fiducial", **more):
    control = [{"id": str(n), "label": f"P-{n}", "position": list(p)} for n, p in enumerate(points)]
    markup = {"type": kind, "coordinateUnits": "mm", "locked": False, "controlPoints": control, **more}
    if system is not None:
        markup["coordinateSystem"] = system
    return {"@schema": "markups-schema-v1.0.3.json", "markups": [markup]}


FCSV = """# Markups fiducial file version = 4.11
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,{a},0,0,0,1,1,1,0,"tip, left",,vtkMRMLScalarVolumeNode1
2,{b},0,0,0,1,1,1,0,F-2,,
"""


def fcsv(system, points):
    a, b = (",".join(map(str, p)) for p in points)
    return FCSV.format(system=system, a=a, b=b)


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


CASES = {
    "plain": ("p.csv", "1.5,-2,3\n-40,50.25,60\n", None),
    "header": ("p.csv", "name,X,Y,z,note\na,1.5,-2,3,x\nb,-40,50.25,60,y\n", "RAS"),
    "ants": ("p.csv", "x,y,z,t,label\n-1.5,2,3,0,1\n40,-50.25,60,0,2\n", "LPS"),
    "excel": ("p.csv", "\ufeffx,y,z\r\n1.5,-2,3\r\n-40,50.25,60\r\n\r\n", None),
    "fcsv LPS": ("p.fcsv", fcsv("LPS", LPS), None),
    "fcsv RAS": ("p.fcsv", fcsv("RAS", RAS), None),
    "fcsv 0": ("p.fcsv", fcsv("0", RAS), None),
    "fcsv 1": ("p.fcsv", fcsv("1", LPS), "LPS"),
    "mrk LPS": ("p.mrk.json", markups("LPS", LPS), None),
    "mrk RAS": ("p.mrk.json", markups("RAS", RAS, "ClosedCurve"), None),
    "mrk silent": ("p.mrk.json", markups(None, LPS, "Line"), None),
}


@pytest.mark.parametrize("case", CASES)
def test_points_are_read_in_ras_and_written_as_they_were(tmp_path, case):
    name, content, coordinates = CASES[case]
    path = write(tmp_path, name, content)
    held = read_points(path, coordinates)
    np.testing.assert_allclose(held.points, RAS)
    target = tmp_path / f"moved_{name}"
    held.write(target, RAS + (10, 20, -30))
    np.testing.assert_allclose(read_points(target, coordinates).points, RAS + (10, 20, -30), atol=1e-6)
    held.write(target, RAS)
    np.testing.assert_allclose(read_points(target, coordinates).points, RAS, atol=1e-6)


def test_everything_else_in_a_table_stays(tmp_path):
    path = write(tmp_path, "p.fcsv", fcsv("LPS", LPS))
    read_points(path).write(path, RAS * 2)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == FCSV.format(system="LPS", a="", b="").splitlines()[:3]
    assert lines[3] == '1,-3.000000,4.000000,6.000000,0,0,0,1,1,1,0,"tip, left",,vtkMRMLScalarVolumeNode1'
    path = write(tmp_path, "p.csv", "name,z,y,x\na,3,2,1\n")
    read_points(path).write(path, [[7, 8, 9]])
    assert path.read_text(encoding="utf-8") == "name,z,y,x\na,9.000000,8.000000,7.000000\n"


def test_everything_else_in_markups_stays_but_measurements(tmp_path):
    content = markups(
        "LPS", LPS, "Line", measurements=[{"name": "length", "value": 104.3}], display={"color": [1, 0, 0]}
    )
    content["markups"][0]["controlPoints"].append({"id": "2", "positionStatus": "undefined", "position": None})
    path = write(tmp_path, "p.mrk.json", content)
    held = read_points(path)
    assert held.points.shape == (2, 3)
    held.write(path, RAS + 1)
    result = json.loads(path.read_text(encoding="utf-8"))
    for point, expected in zip(content["markups"][0]["controlPoints"], (RAS + 1) * (-1, -1, 1), strict=False):
        point["position"] = list(expected)
    del content["markups"][0]["measurements"]
    assert result == content


def test_several_markups_with_systems_of_their_own(tmp_path):
    content = markups("LPS", LPS[:1])
    content["markups"] += markups("RAS", RAS[1:])["markups"]
    held = read_points(write(tmp_path, "p.mrk.json", content))
    np.testing.assert_allclose(held.points, RAS)
    held.write(tmp_path / "q.mrk.json", RAS + 1)
    np.testing.assert_allclose(read_points(tmp_path / "q.mrk.json").points, RAS + 1)


def test_names_over_several_lines_stay(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('x,y,z,name\n1,2,3,"two\nlines"\n4,5,6,a\u2028b\n', encoding="utf-8")
    held = read_points(path)
    held.write(tmp_path / "q.csv", held.points)
    text = (tmp_path / "q.csv").read_text(encoding="utf-8")
    assert text == 'x,y,z,name\n1.000000,2.000000,3.000000,"two\nlines"\n4.000000,5.000000,6.000000,a\u2028b\n'


BAD = {
    "words": ("p.csv", "x,y,z\n1,2,three\n", "['1', '2', 'three'] is not a position of three numbers"),
    "short": ("p.csv", "1,2\n", "['1', '2', None] is not a position"),
    "NaN": ("p.csv", "1,2,nan\n", "is not a position"),
    "columns": ("p.csv", "a,b,c\n1,2,3\n", "its header line names no columns x, y and z"),
    "empty": ("p.csv", "", "holds no points"),
    "header only": ("p.csv", "x,y,z\n", "holds no points"),
    "no system": ("p.fcsv", "# a\n1,2,3,4\n", "does not say which coordinates it holds"),
    "voxels": ("p.fcsv", fcsv("IJK", RAS), "holds IJK coordinates; only RAS and LPS are known"),
    "no json": ("p.mrk.json", "{", "cannot be read as a Slicer markups file"),
    "other json": ("p.mrk.json", [1], "cannot be read as a Slicer markups file"),
    "box": ("p.mrk.json", markups("LPS", LPS, "ROI"), "a markup of type ROI is more than its points"),
    "metres": ("p.mrk.json", markups("LPS", LPS, coordinateUnits="m"), "holds coordinates in m, not in mm"),
    "bad position": ("p.mrk.json", markups("LPS", [[1, 2]]), "[1, 2] is not a position"),
    "a word": (
        "p.mrk.json",
        {"markups": [{"type": "Fiducial", "controlPoints": [{"position": "123"}]}]},
        "'123' is not a position",
    ),
    "huge": ("p.mrk.json", markups("LPS", [[1, 2, 10**400]]), "is not a position"),
    "bad system": ("p.mrk.json", markups("XYZ", LPS), "holds XYZ coordinates"),
    "no points": ("p.mrk.json", markups("LPS", []), "holds no points"),
    "ending": ("p.txt", "1,2,3\n", "unknown ending; points are .csv, .fcsv, .mrk.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(tmp_path, case):
    name, content, words = BAD[case]
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        read_points(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_coordinates_that_contradict_the_file(tmp_path):
    for name, content in (("p.fcsv", fcsv("LPS", LPS)), ("p.mrk.json", markups("LPS", LPS))):
        with pytest.raises(InputError, match="says that it holds LPS coordinates, not RAS"):
            read_points(write(tmp_path, name, content), "RAS")


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="cannot be read"):
        read_points(tmp_path / "binary.csv")
