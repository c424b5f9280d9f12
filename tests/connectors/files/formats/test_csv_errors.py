"""The error messages about a CSV that cannot be read, or not completely."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.csv import Csv
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW
from headrace.ir.schema import Field, Schema


def discover(folder: Path, content: bytes, fields: Schema = (), **options: Any) -> FileSource:
    (folder / "data.csv").write_bytes(content)
    return local_files({"path": "data.csv", "options": options}, fields=fields, files_root=folder)


def load(files: FileSource, partitions: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = files.discover(max_partitions=partitions)
    batches = [batch for part in found.partitions for batch in files.read(part, found.schema)]
    return pl.concat([batch.frame for batch in batches]), pl.concat([batch.rejects for batch in batches])


@pytest.mark.parametrize(
    ("content", "options", "code", "reported"),
    [
        (b"", {}, "empty_file", "data.csv is empty"),
        (b"\n\r\n", {}, "empty_file", "data.csv is empty"),
        (b"\xef\xbb\xbf", {}, "empty_file", "data.csv is empty"),
        (b"a,__row\n1,2\n", {}, "bad_header", "'__row'"),
        (b"n\xe4me,b\n1,2\n", {}, "bad_encoding", "byte 0xE4 at offset 1, row 0"),
        (b"a,b\n1,2\n3,M\xfcller\n", {}, "bad_encoding", "byte 0xFC at offset 11, row 2"),
        ("a,b\n1,2\n".encode("utf-16"), {}, "bad_encoding", "mark of utf-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, "bad_encoding", "is NUL"),
        (b'a,"b\n1,2\n', {}, "unterminated_quote", "never closed"),
        (b"a,b\n1,2\n", {"encoding": "latin-17"}, "unknown_encoding", "latin-17"),
        (b"a,b\n1,2\n", {"delimiter": "::"}, "bad_option", "one ASCII character"),
        (b"a,b\n1,2\n", {"quote": ","}, "bad_option", "options.quote"),
        (b"a,b\n1,2\n", {"delimeter": ";"}, "bad_option", "Did you mean 'delimiter'"),
        (b"a,b\n1,\xff\n", {"encoding": "ascii"}, "bad_encoding", "0xFF"),
        (b"a,b\n1,2\n\n3,\xff", {}, "bad_encoding", "offset 11, row 2"),
        (b"\xff\xfea\x00", {"encoding": "cp1252"}, "", ""),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, options: dict[str, Any], code: str, reported: str
) -> None:
    files = discover(tmp_path, content, **options)
    if not code:
        assert files.discover(max_partitions=1).total_rows == 0
        return
    with pytest.raises(SourceError) as caught:
        files.discover(max_partitions=2)
    assert caught.value.code == code
    assert reported in str(caught.value)


def test_a_declared_field_must_be_in_the_header(tmp_path: Path) -> None:
    files = discover(tmp_path, b"amount,name\n1,x\n", (Field("amuont", "integer"),))
    with pytest.raises(SourceError, match=r"Its columns are: amount, name\. Did you mean 'amount'"):
        files.discover(max_partitions=1)


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b", b"a,b\r\n\r\n\n"])
def test_a_header_alone_is_no_rows_but_no_error(tmp_path: Path, content: bytes) -> None:
    files = discover(tmp_path, content)
    found = files.discover(max_partitions=4)
    assert found.total_rows == 0
    assert [field.name for field in found.schema] == ["a", "b"]
    assert [batch for part in found.partitions for batch in files.read(part, found.schema)] == []


def test_ragged_lines_are_rejected_with_the_line(tmp_path: Path) -> None:
    frame, rejects = load(discover(tmp_path, b'a,b,c\n1,"x,y",3\n4,5\n6,7,8,9\n\n10,"11\n12",13\nlast\n'))
    assert frame[ROW].to_list() == [1, 4]
    assert frame["b"].to_list() == ["x,y", "11\n12"]
    assert rejects.rows() == [
        (2, None, "4,5", "Expected 3 fields, found 2", "ragged"),
        (3, None, "6,7,8,9", "Expected 3 fields, found 4", "ragged"),
        (5, None, "last", "Expected 3 fields, found 1", "ragged"),
    ]


def test_every_cell_of_a_wrong_type_is_named(tmp_path: Path) -> None:
    fields = (Field("n", "smallint"), Field("d", "date"), Field("b", "boolean"), Field("x", "decimal", 6, 2))
    content = b"n,d,b,x\n1,2024-01-31,true,1.5\n70000,31.01.2024,maybe,1e9\n 2 ,2024-02-29,YES,\n3,24-01-01,0,-0.255\n"
    frame, rejects = load(discover(tmp_path, content, fields))
    assert frame[ROW].to_list() == [1, 3]
    assert frame["b"].to_list() == [True, True]
    assert rejects.rows() == [
        (2, "n", "70000", "Expected integer between -32768 and 32767", "type"),
        (2, "d", "31.01.2024", "Expected date", "type"),
        (2, "b", "maybe", "Expected boolean", "type"),
        (2, "x", "1e9", "Expected decimal number", "type"),
        (4, "d", "24-01-01", "Expected date", "type"),
    ]


def test_misplaced_quotes_are_rejected(tmp_path: Path) -> None:
    frame, rejects = load(discover(tmp_path, b'a,b\n1,5" x 7" board\n2,"say ""hi"""\n3,"x"y\n4,"z"\r\n'))
    assert frame.rows() == [(2, 'say "hi"', 2), (4, "z", 4)]
    assert rejects["row"].to_list() == [1, 3]
    assert set(rejects["rule"]) == {"quote"}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_with_an_invalid_byte_is_rejected_whatever_ends_lines(tmp_path: Path, end: bytes) -> None:
    lines = [b"a,b", b"1,\xc3\xa9", b"2,M\xfcller", b"3,x", b"4,\xff", b"5,\xc3\xa9"]
    files = discover(tmp_path, end.join([*lines, b""]), (Field("a", "integer"), Field("b", "text")))
    frame, rejects = load(files)
    assert frame.select("a", "b").rows() == [(1, "é"), (3, "x"), (5, "é")]
    assert rejects.select("row", "rule").rows() == [(2, "encoding"), (4, "encoding")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_long_file_in_a_wrong_encoding_is_reported_whatever_ends_lines(tmp_path: Path, end: bytes) -> None:
    files = discover(tmp_path, b"a" + end + (b"M\xfcller" + end) * 200_000, (Field("a", "text"),))
    with pytest.raises(SourceError, match=r"byte 0xFC at offset .*row 1"):
        files.discover(max_partitions=1)


@pytest.mark.parametrize(
    ("content", "loaded", "rejected"),
    [
        (b'1,"x\n2,y\n', [2], [1]),
        (b'1,"x"\n2,"y\n3,"z"\n4,"w"\n', [1, 3, 4], [2]),
        (b'1,x\n2,y\n3,5" pipe\n', [1, 2], [3]),
        (b'1,x\n2,5" pipe\n3,a\n4,b\n5,6" pipe\n6,c\n', [1, 3, 4, 6], [2, 5]),
        (b'1,x\n2,"size 5\\""\n3,a\n4,b\n5,"size 5\\""\n6,c\n', [1, 3, 4, 6], [2, 5]),
        (b'1,"a\nb"\n2,"c\n3,d\n4,"e\n""f"""\n', [1, 3, 4], [2]),
        (b'1,"a"\n2,"b" \n3,""c\n4,""\n', [1, 4], [2, 3]),
    ],
)
def test_a_quote_out_of_place_costs_its_own_row(
    tmp_path: Path, content: bytes, loaded: list[int], rejected: list[int]
) -> None:
    files = discover(tmp_path, b"a,b\n" + content, (Field("a", "integer"), Field("b", "text")))
    assert files.discover(max_partitions=1).total_rows == len(loaded) + len(rejected)
    frame, rejects = load(files)
    assert frame[ROW].to_list() == frame["a"].to_list() == loaded
    assert rejects["row"].to_list() == rejected
    assert set(rejects["rule"]) == {"quote"}


def test_a_field_that_nothing_closes_says_where_it_begins(tmp_path: Path) -> None:
    _, rejects = load(discover(tmp_path, 'a,b\n1,x\n2é,"y\n3,z\n'.encode()))
    assert "The quote at character 4 opens a field that is not closed" in rejects["error"][0]


def test_quotes_can_mean_nothing(tmp_path: Path) -> None:
    frame, rejects = load(discover(tmp_path, b'a,b\n1,5" board\n2,"x\n', quote=None))
    assert frame["b"].to_list() == ['5" board', '"x']
    assert rejects.is_empty()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1", "cp1252", "utf-8", "utf-8-sig"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = mark + 'näme,b\r\nMüller,1\r\n"a\r\nb",2\r\n'.encode(encoding)
    frame, _ = load(discover(tmp_path, content, encoding=encoding), partitions=3)
    assert frame.rows() == [("Müller", 1, 1), ("a\r\nb", 2, 2)]
    assert frame.columns[0] == "näme"


def test_options_are_followed(tmp_path: Path) -> None:
    content = b"1;'a;b';NA\n-;'it''s';x\n"
    files = discover(tmp_path, content, delimiter=";", quote="'", header=False, nullValues=["NA", "-"])
    frame, _ = load(files)
    assert frame.rows() == [(1, "a;b", None, 1), (None, "it's", "x", 2)]
    assert frame.columns == ["column_1", "column_2", "column_3", ROW]


def test_types_are_inferred_cautiously(tmp_path: Path) -> None:
    lines = [
        b"i,big,d,b,day,at,tz,zip,mixed,none,q",
        b'1,5000000000,1.5,true,2024-01-01,2024-01-01T10:00:00,2024-01-01T10:00:00Z,01234,1,,"7"',
        b'-2,1,1e3,FALSE,2024-12-31,2024-01-01 10:00,2024-01-01T10:00:00+02:00,99999,x,,"8"',
    ]
    found = discover(tmp_path, b"\n".join(lines)).discover(max_partitions=1)
    assert {field.name: field.data_type for field in found.schema} == {
        "i": "integer",
        "big": "bigint",
        "d": "double",
        "b": "boolean",
        "day": "date",
        "at": "timestamp",
        "tz": "timestamptz",
        "zip": "text",
        "mixed": "text",
        "none": "text",
        "q": "integer",
    }


def test_a_type_seen_only_far_into_the_file_is_still_inferred(tmp_path: Path) -> None:
    lines = [b"%d,filler-filler-filler" % number for number in range(200_000)]
    lines[150_000:180_000] = [b"%d.5,filler-filler" % number for number in range(30_000)]
    found = discover(tmp_path, b"n,t\n" + b"\n".join(lines)).discover(max_partitions=1)
    assert found.schema[0].data_type == "double"


def test_a_file_that_shrinks_under_the_run_is_noticed(tmp_path: Path) -> None:
    files = discover(tmp_path, b"a\n1\n2\n3\n")
    found = files.discover(max_partitions=1)
    (tmp_path / "data.csv").write_bytes(b"a\n1\n")
    with pytest.raises(SourceError) as caught:
        list(files.read(found.partitions[0], found.schema))
    assert caught.value.code == "source_changed"
    assert files.fingerprint() != found.fingerprint


def test_a_record_longer_than_a_chunk_is_read(tmp_path: Path) -> None:
    long = b'"' + b"line\n" * 2000 + b'"'
    (tmp_path / "data.csv").write_bytes(b"a,b\n1," + long + b"\n2,x\n")
    files = local_files({"path": "data.csv"}, files_root=tmp_path, formats={"csv": Csv({}, chunk_bytes=64)})
    frame, rejects = load(files)
    assert frame["b"].str.len_bytes().to_list() == [10_000, 1]
    assert rejects.is_empty()


def test_an_error_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "headrace.connectors.files.delimited.records.record_chunks.__kwdefaults__", {"limit": 64, "keep": False}
    )
    files = discover(tmp_path, b"a,b\n1," + b"x" * 500 + b"\n")
    with pytest.raises(SourceError, match=r"data\.csv: The record at byte 4 is longer") as caught:
        files.discover(max_partitions=1)
    assert caught.value.file == "data.csv"


def test_a_few_broken_rows_do_not_condemn_a_file(tmp_path: Path) -> None:
    lines = [b"%d,x" % number for number in range(5000)]
    lines[1234] = b"1234,\xfc"
    frame, rejects = load(discover(tmp_path, b"a,b\n" + b"\n".join(lines)))
    assert frame.height == 4999
    assert rejects.select("row", "rule").rows() == [(1235, "encoding")]
    assert "0xFC" in rejects["error"][0]


def test_values_do_not_depend_on_whether_the_chunk_has_an_offender(tmp_path: Path) -> None:
    fields = tuple(
        Field(name, kind) for name, kind in (("i", "integer"), ("f", "double"), ("b", "boolean"), ("t", "text"))
    )
    good = [b"+1,.5,TRUE,a", b'007,1.,False,""', b" 3,1e300,true, x ", b'"4",NaN,,', b',-inf,"false","a""b"']
    alone, none = load(discover(tmp_path, b"i,f,b,t\n" + b"\n".join(good), fields))
    mixed, some = load(discover(tmp_path, b"i,f,b,t\n" + b"\n".join([*good, b"x,y,z,t", b"short"]), fields))
    assert none.is_empty()
    assert some["row"].unique().sort().to_list() == [6, 7]
    assert alone.equals(mixed)
