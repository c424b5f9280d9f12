"""CSV as other programs write it: lines before the header, comments, escapes, numbers, names that are not unique."""

from __future__ import annotations

import csv
import io
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.formats.csv import Csv
from headrace.connectors.source import ROW
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import check_resuming, everything, refused, rows, source, texts
from tests.effort import examples


def written(folder: Path, text: str) -> Path:
    (folder / "data.csv").write_bytes(text.encode())
    return folder / "data.csv"


def test_lines_before_the_header_are_passed_over_whatever_they_hold(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffReport "of\r\n\r\na,b\r\n1,x\r\n2,y\r\n')
    files = source(path, options={"skipRows": 2})
    assert rows(files) == [(1, "x"), (2, "y")]
    check_resuming(files, 2)
    assert rows(source(written(tmp_path, "x\n1,2\n"), *texts("a", "b"), options={"skipRows": 1, "header": False})) == [
        ("1", "2")
    ]
    assert refused(source(path, options={"skipRows": 9})).code == "empty_file"


def test_comments_are_no_rows_but_within_quotes_they_are_text(tmp_path: Path) -> None:
    path = written(tmp_path, '# it\'s "a\n#\na,b\n#c\n1,"x\n#y"\n#d\n#e "f\n2,#z\n#end')
    files = source(path, options={"comment": "#"})
    assert rows(files) == [(1, "x\n#y"), (2, "#z")]
    check_resuming(files, 2)
    assert rows(source(written(tmp_path, "a//b\n//n\n1//2\n"), options={"comment": "//"})) == [("1//2",)]
    path = written(tmp_path, '#x\ra,b\r#c\r1,"x\r#y"\r#d\r2,#z\r#end')
    assert rows(source(path, options={"comment": "#"})) == [(1, "x\r#y"), (2, "#z")]
    path = written(tmp_path, "#" * 70_000 + "\ra\r" + "#long\r1\r" * 9_000)
    assert rows(source(path, options={"comment": "#"})) == [(1,)] * 9_000


def test_escaped_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"say \\"hi\\", \\\\ and \\n"\n2,\\N\n')
    options = {"escape": "\\", "nullValues": ["\\N"]}
    assert rows(source(path, options=options)) == [(1, 'say "hi", \\ and \\n'), (2, None)]


@pytest.mark.parametrize(
    ("written_as", "options", "expected"),
    [
        ("1.234,56", {"decimal": ",", "thousands": "."}, Decimal("1234.56")),
        ("-1234,5", {"decimal": ",", "thousands": "."}, Decimal("-1234.50")),
        ("1 234\u00a0567", {"decimal": ",", "thousands": " "}, Decimal(1234567)),
        ("1,234.5", {"thousands": ","}, Decimal("1234.50")),
        ("1'234.5", {"thousands": "'"}, Decimal("1234.50")),
        ("1.5", {"decimal": ","}, None),
        ("1,5", {"thousands": ","}, None),
        ("12,34,567", {"thousands": ","}, None),
        ("", {"decimal": ","}, ""),
    ],
)
def test_numbers_are_read_as_they_are_written_there_or_not_at_all(
    tmp_path: Path, written_as: str, options: dict[str, Any], expected: Any
) -> None:
    path = written(tmp_path, f"id;n\n1;{written_as}\n")
    files = source(path, Field("id", "integer"), Field("n", "decimal", 12, 2), options={"delimiter": ";", **options})
    frame, rejects = everything(files, files.discover(max_partitions=1))
    if expected is None:
        assert rejects.select("row", "column", "value").rows() == [(1, "n", written_as)]
    else:
        assert frame["n"].to_list() == [expected or None]


def test_types_of_such_numbers_are_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b;c\n1.234;0,5;1,2,3\n5;1.000,25;x\n")
    files = source(path, options={"delimiter": ";", "decimal": ",", "thousands": "."})
    found = files.discover(max_partitions=1)
    assert [field.data_type for field in found.schema] == ["integer", "double", "text"]
    assert found.guessed == {"c"}
    assert rows(files) == [(1234, 0.5, "1,2,3"), (5, 1000.25, "x")]


def test_columns_without_a_name_of_their_own_get_one_and_it_is_reported(tmp_path: Path) -> None:
    files = source(written(tmp_path, "a,,a,a_2,\n1,2,3,4,5\n"))
    found = files.discover(max_partitions=1)
    assert [field.name for field in found.schema] == ["a", "column_2", "a_3", "a_2", "column_5"]
    assert found.notes == ("data.csv: the header's '' as 'column_2', 'a' as 'a_3', '' as 'column_5'",)
    assert rows(files) == [(1, 2, 3, 4, 5)]


def test_a_declared_name_that_is_there_twice_is_not_guessed_at(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,a\n1,2,3\n")
    error = refused(source(path, *texts("a", "b")))
    assert (error.code, "twice: columns 1 and 3" in str(error)) == ("bad_header", True)
    assert rows(source(path, *texts("a", "a_2"))) == [("1", "3")]


@pytest.mark.parametrize(
    ("matching", "read"),
    [("exact", {"a"}), ("trim", {"a", "b"}), ("caseInsensitive", {"a", "b", "c"}), (None, {"a", "b", "c"})],
)
def test_how_names_of_the_header_match(tmp_path: Path, matching: str | None, read: set[str]) -> None:
    path = written(tmp_path, "a, b ,C\n1,2,3\n")
    seen = Csv({"headerMatching": matching}).inspect(path, "data.csv", texts("a", "b", "c"), pieces=1)
    assert {"a", "b", "c"} - set(seen.lacking) == read


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"escape": "ab"}, "options.escape"),
        ({"comment": "é"}, "options.comment"),
        ({"skipRows": -1}, "options.skipRows"),
        ({"skipRows": True}, "options.skipRows"),
        ({"skipRows": False}, "options.skipRows"),
        ({"decimal": ";"}, "options.decimal"),
        ({"thousands": ".", "decimal": "."}, "options.thousands"),
        ({"headerMatching": "exactly"}, "Did you mean 'exact'"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], reported: str) -> None:
    error = refused(source(written(tmp_path, "a\n1\n"), options=options))
    assert (error.code, reported in str(error)) == ("bad_option", True)


CELL = st.text(alphabet=st.sampled_from('ab#",\n\\ é'), max_size=5)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(CELL, CELL), max_size=15), st.data(), st.integers(1, 40))
def test_comments_and_escapes_anywhere(table: list[tuple[str, str]], data: st.DataObject, chunk: int) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\", lineterminator="\n")
    comment = st.sampled_from(["", "", "# a\n", '#"\n', "#\n#b,\n"])
    out.write(data.draw(comment))
    for row in [("a", "b"), *table]:
        writer.writerow(row)
        out.write(data.draw(comment))
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), out.getvalue())
        reader = Csv({"comment": "#", "escape": "\\"}, chunk_bytes=chunk, min_piece_bytes=1)
        files = source(path, *texts("a", "b"), formats={"csv": reader})
        frame, rejects = everything(files, files.discover(max_partitions=3))
        assert not rejects.height
        assert [(a or "", b or "") for a, b in frame.drop(ROW).rows()] == table
        check_resuming(files, 3)
