import re
import warnings

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import Scan, register
from acsgreg_tf.report import niivue, page, read_entries, section_of, write_report
from tests.registration.cases import KnownNetwork
from tests.report.cases import registered, scans


@pytest.fixture(scope="module")
def section():
    fixed, moving = scans()
    with pytest.warns(UserWarning):  # it is a tenth of a vertebra
        result = registered(fixed, moving)
    return section_of(result, fixed, moving, "L3")


def test_a_page_is_whole_and_loads_nothing(section, tmp_path):
    path = tmp_path / "page.html"
    write_report(path, [section], "acsgreg-register --moved 'a </script> b'")
    text = path.read_text(encoding="utf-8")
    own = re.sub(r'<script type="module">.*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:)', own) and "@import" not in own
    assert own.count("<script") == own.count("</script>") == 2  # the data; two modules were taken out above
    assert "BSD 2-Clause License" in text and "%%" not in own
    assert "a &lt;/script&gt; b" in text
    for flag in section.summary["flags"]:
        assert page.html.escape(flag["text"]) in text
    assert path.stat().st_size < 25e6


def test_a_table_of_many_takes_its_line_from_the_page(section, tmp_path):
    write_report(tmp_path / "page.html", [section, section], "")
    entries = read_entries([tmp_path / "page.html"], tmp_path / "index.html")
    assert [entry.link for entry in entries] == ["page.html"] * 2
    assert entries[0].summary["dice"] == section.summary["dice"]
    assert entries[0].picture == section.picture and entries[0].picture.startswith(b"\x89PNG")


def test_the_crosshair_starts_inside(section):
    fixed, _ = scans()
    index = fixed.label_map.grid.points_to_index(section.start)
    assert fixed.label_map.data[tuple(round(i) for i in index)] == fixed.number


@pytest.mark.parametrize("kind", ["rigid", "without labels", "beside each other"])
def test_whatever_was_registered_has_a_page(kind, tmp_path):
    """An affine alone, crops without label maps, and two that do not overlap after all."""
    fixed, moving = scans()
    options = {}
    if kind == "rigid":
        options["transform"] = "rigid"
    elif kind == "without labels":
        fixed, moving = (
            Scan(
                Image(np.where(side.label_map.data == side.number, side.image.data.clip(1), 0), side.image.grid, "crop")
            )
            for side in (fixed, moving)
        )
    affine = np.eye(3, 4)
    affine[0, 3] = 40 if kind == "beside each other" else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = register(fixed, moving, model=KnownNetwork(affine), fit_affine=False, **options)
    section = section_of(result, fixed, moving)
    assert ("dice" in section.summary) == (kind != "without labels")
    assert set(section.meshes) == {"fixed", "moved", "before"} - ({"moved"} if kind == "beside each other" else set())
    write_report(tmp_path / "page.html", [section])
    assert ("Dice" in (tmp_path / "page.html").read_text(encoding="utf-8")) == (kind != "without labels")


def test_data_cannot_end_the_script():
    assert page.as_data({"a": "</script><!--"}).count("<") == 0
    assert page.filled("a %%X%% b", {"X": "%%X%%"}) == "a %%X%% b"


def test_niivue_comes_with_its_licence_and_version():
    found = niivue.read_niivue()
    assert "</script" not in found.script and re.search(r"globalThis\.Niivue = [\w$]+;\n$", found.script)
    assert "Redistributions in binary form" in found.licence and re.match(r"NiiVue 0\.\d+\.\d+ \(", found.version)


def test_another_ipyniivue_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(niivue, "_CLASS", re.compile("never there"))
    with pytest.raises(InputError, match="holds no NiiVue"):
        niivue.read_niivue()
    monkeypatch.setattr(niivue.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[report\]'|\.\[report\]"):
        niivue.check_niivue()
