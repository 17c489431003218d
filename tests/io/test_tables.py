"""CSV tables: cells by column, faults by line."""

import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import is_label_number, read_lines, read_table, write_table


def test_cells_are_text_without_blanks_and_rows_know_their_line(tmp_path):
    (tmp_path / "t.csv").write_text('\ufeffa,b\n 1 , x \n\n"two\nlines"\nNA,007,more\n', encoding="utf-8")
    rows = read_table(tmp_path / "t.csv", ["b"], "a list")
    assert [row.cells for row in rows] == [{"a": "1", "b": "x"}, {"a": "two\nlines", "b": ""}, {"a": "NA", "b": "007"}]
    assert [row.where.rsplit(" ", 1)[1] for row in rows] == ["2", "5", "6"]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "L1", "\u00b2", "1" * 10, "1" * 5000])
def test_what_is_no_number_of_a_label(text):
    assert not is_label_number(text)
    assert is_label_number("20")


def test_what_is_written_is_read_back(tmp_path):
    write_table(tmp_path / "t.csv", ["a", "b"], [{"a": "x, y", "b": 1}, {"a": ""}])
    assert [row.cells for row in read_table(tmp_path / "t.csv", ["a", "b"], "a list")] == [
        {"a": "x, y", "b": "1"},
        {"a": "", "b": ""},
    ]


@pytest.mark.parametrize(
    "content, fault",
    [(None, "no such file"), (b"\xff\xfe", "cannot be read as a list"), (b"a\n1\n", "lacks the column b")],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"t.csv: {fault}"):
        read_table(tmp_path / "t.csv", ["a", "b"], "a list")


def test_lines(tmp_path):
    (tmp_path / "l.txt").write_text(" a \n\nb c\n", encoding="utf-8-sig")  # as Windows writes it
    assert read_lines(tmp_path / "l.txt") == ["a", "b c"]
    (tmp_path / "l.txt").write_text("\n")
    with pytest.raises(InputError, match="l.txt: an empty list"):
        read_lines(tmp_path / "l.txt")
