import json
import re

import pytest
from PIL import Image

from acsgreg_tf.cli.report import main
from acsgreg_tf.errors import InputError
from acsgreg_tf.report import Entry, read_entries, write_index
from acsgreg_tf.report.index import worst_first


def summary(dice, flags=(), fixed="a.nii.gz", moving="b.nii.gz"):
    stages = {"before": 0.5, "affine": 0.8, "deformable": dice}
    return {"fixed": fixed, "moving": moving, "dice": stages, "flags": [{"name": f, "text": f} for f in flags]}


def test_the_worst_come_first():
    entries = [
        Entry("good", summary(0.97)),
        Entry("poor", summary(0.91)),
        Entry("doubtful", summary(0.96, ["orientation"])),
        Entry("unknown", {"lncc": {"deformable": 0.6}}),
        Entry("failed", {}, fault="no such file"),
    ]
    assert [entry.name for entry in worst_first(entries)] == ["failed", "doubtful", "poor", "good", "unknown"]


def test_files_beside_the_metrics_are_shown(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(summary(0.97, fixed="<b>.nii")))
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "one.png")
    (tmp_path / "one.html").write_text("its own page")
    (tmp_path / "two.json").write_text(json.dumps(summary(0.90, ["low_dice"])))
    out = tmp_path / "pages" / "index.html"
    out.parent.mkdir()
    assert main(["--metrics", *(str(tmp_path / f"{n}.json") for n in ("one", "two")), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert 'href="../one.html"' in page and "<b>.nii" not in page and "&lt;b&gt;.nii" in page
    assert "2 registrations, 1 of them doubtful or failed" in page and "acsgreg report --metrics" in page
    assert re.search(r'src="data:image/png;base64,', page) and len(page) < 100_000
    assert page.index("low_dice") < page.index("one.html")


def test_what_is_no_metrics_file_is_refused(tmp_path, capsys):
    out = tmp_path / "index.html"
    for text, words in (("{", "cannot be read as metrics"), ("{}", "names no fixed"), ("[1]", "names no fixed")):
        (tmp_path / "m.json").write_text(text)
        assert main(["--metrics", str(tmp_path / "m.json"), "--out", str(out)]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "page.html").write_text("<html>")
    assert main(["--reports", str(tmp_path / "page.html"), "--out", str(out)]) == 2
    assert "is no report" in capsys.readouterr().err
    assert main(["--metrics", str(tmp_path / "none.json"), "--out", str(out)]) == 2
    assert main(["--out", str(out)]) == 2
    assert main(["--metrics", str(tmp_path / "m.json"), "--out", str(tmp_path / "index.txt")]) == 2
    assert not out.exists()


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no registration"):
        write_index(tmp_path / "index.html", [])
    assert read_entries([], tmp_path / "index.html") == []


@pytest.mark.parametrize("content", ["{", "[{}]", "[1]", '[{"summary": {}, "picture": "?"}]'])
def test_a_damaged_report_is_one_line(tmp_path, content):
    (tmp_path / "a.html").write_text(f'<script type="application/json" id="summaries">{content}</script>')
    with pytest.raises(InputError, match=r"a\.html: (a damaged report|is no report)"):
        read_entries([tmp_path / "a.html"], tmp_path / "index.html")
