"""JSON lines and arrays: values unchanged, a bad record is one rejected row, reading resumes from any position."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.formats.json import Json, JsonLines
from headrace.connectors.source import ROW
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import (
    check_resuming,
    everything,
    never_panics,
    refused,
    rows,
    source,
    texts,
)
from tests.effort import examples

FORMS = ["jsonl", "json"]


def written(folder: Path, form: str, records: list[str], *, head: bytes = b"") -> Path:
    path = folder / f"data.{form}"
    text = "".join(f"{each}\n" for each in records) if form == "jsonl" else "[" + ",\n".join(records) + "]"
    path.write_bytes(head + text.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("1234567890.123456789012", Field("v", "text"), "1234567890.123456789012"),
        ("1234567890.123456789012", Field("v", "decimal", 30, 12), Decimal("1234567890.123456789012")),
        ("9223372036854775808", Field("v", "text"), "9223372036854775808"),
        ("9223372036854775808", Field("v", "decimal", 20, 0), Decimal(9223372036854775808)),
        ("9007199254740993", Field("v", "bigint"), 9007199254740993),
        ("1.50", Field("v", "text"), "1.50"),
        ("1e-30", Field("v", "double"), 1e-30),
        ("3.0", Field("v", "integer"), 3),
        ('"0123"', Field("v", "text"), "0123"),
        ('""', Field("v", "text"), ""),
        ("null", Field("v", "text"), None),
        ('"null"', Field("v", "text"), "null"),
        ("true", Field("v", "boolean"), True),
        ('{"a": 1.10, "b":[ 1e5 ]}', Field("v", "json"), '{"a": 1.10, "b":[ 1e5 ]}'),
        ('"text"', Field("v", "json"), '"text"'),
        ('{"a": 1.10}', Field("v", "text"), '{"a": 1.10}'),
        (r'"a\n\"\\\u00e9\ud83d\ude00"', Field("v", "text"), 'a\n"\\é😀'),
    ],
)
def test_a_value_comes_through_as_it_is_written(
    tmp_path: Path, form: str, value: str, field: Field, expected: Any
) -> None:
    path = written(tmp_path, form, [f'{{"v":{value}}}', '{"other": 1}'])
    assert rows(source(path, field)) == [(expected,), (None,)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("value", "field"),
    [("9223372036854775808", "bigint"), ("1.5", "integer"), ("1e400", "double"), ("[1]", "integer"), ("5", "date")],
)
def test_what_does_not_fit_is_an_error_of_its_row(tmp_path: Path, form: str, value: str, field: Any) -> None:
    path = written(tmp_path, form, ['{"v":null}', f'{{"v":{value}}}'])
    files = source(path, Field("v", field))
    frame, rejects = everything(files, files.discover(max_partitions=1))
    assert frame[ROW].to_list() == [1]
    assert rejects.select("row", "column", "value").rows() == [(2, "v", value)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("record", "reported"),
    [
        ("{'v': 1}", "character 2"),
        ('{"v": NaN}', "NaN is not a number of JSON"),
        ("[1]", "Expected an object, found an array"),
        ("7", "Expected an object, found a number"),
        (r'{"v": "\ud800"}', "half of a pair"),
        ('{"v": 1}{"v": 2}', "Extra data"),
        ('{"v":' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply"),
    ],
)
def test_a_bad_record_is_one_error_row(tmp_path: Path, form: str, record: str, reported: str) -> None:
    sound = [f'{{"v":{n}}}' for n in range(100)]
    path = written(tmp_path, form, [*sound[:50], record, *sound[50:]])
    files = source(path, Field("v", "integer"))
    frame, rejects = everything(files, files.discover(max_partitions=1))
    assert frame["v"].to_list() == list(range(100))
    assert frame[ROW].to_list() == [*range(1, 51), *range(52, 102)]
    assert rejects["row"].to_list() == [51]
    assert reported in rejects["error"][0]


def test_columns_are_those_of_all_rows_and_typed_by_what_they_hold(tmp_path: Path) -> None:
    records = ['{"id":1,"zip":"01234","at":"2024-01-01T10:00:00Z"}'] * 3000 + ['{"id":2.5,"late":{"a":1}}']
    found = source(written(tmp_path, "jsonl", records)).discover(max_partitions=1)
    types = {field.name: field.data_type for field in found.schema}
    assert types == {"id": "double", "zip": "text", "at": "timestamptz", "late": "json"}
    assert found.guessed == {"id", "zip", "at"}
    files = source(tmp_path / "data.jsonl")
    assert files.types_of(["id"])["id"].data_type == "double"


def test_a_byte_order_mark_and_other_encodings(tmp_path: Path) -> None:
    assert rows(source(written(tmp_path, "jsonl", ['{"a":"é"}'], head=b"\xef\xbb\xbf"))) == [("é",)]
    (tmp_path / "data.jsonl").write_bytes('{"a":"é"}\n'.encode("utf-16"))
    assert rows(source(tmp_path / "data.jsonl", options={"encoding": "utf-16"})) == [("é",)]
    (tmp_path / "data.jsonl").write_bytes('{"a":"é"}\n'.encode("latin-1"))
    assert refused(source(tmp_path / "data.jsonl")).code == "bad_encoding"


def test_texts_that_mean_null(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", ['{"a":"NA","b":"x"}', '{"a":null,"b":"NA"}', '{"a":"y"}'])
    read = rows(source(path, *texts("a", "b"), options={"nullValues": "NA"}))
    assert read == [(None, "x"), (None, None), ("y", None)]


def test_keys_with_any_characters_are_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", [json.dumps({'a"b': 1, "c\\d": 2, "e\nf": 3, " g ": 4, "": 5})])
    found = source(path).discover(max_partitions=1)
    assert [field.name for field in found.schema] == ['a"b', "c\\d", "e\nf", "g", "column_5"]
    assert rows(source(path)) == [(1, 2, 3, 4, 5)]


def test_names_that_no_row_has_are_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", ['{"amount":1}'])
    found = source(path, *texts("amount", "amuont")).discover(max_partitions=1)
    assert "no row of data.jsonl has amuont (Did you mean 'amount'?): null in all" in found.notes
    assert refused(source(path, *texts("amuont"))).code == "missing_column"
    assert refused(source(path, *texts("amount", "x"), options={"missingColumns": "fail"})).code == "missing_column"
    assert rows(source(path, *texts("Amount "))) == [("1",)]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("data.items", '{"x":{"items":[5]},"data":{"k":"]}\\"","items":[{"v":1},{"v":2}]},"y":[]}'),
        ("$.data.items[*]", '{"data":{"items":[{"v":1},{"v":2}]}}'),
        ("/a.b/c~1d", '{"a.b":{"c/d":[{"v":1},{"v":2}]}}'),
        ("", '  [ {"v":1} , {"v":2} ]  '),
    ],
)
def test_the_array_is_found_by_its_path(tmp_path: Path, path: str, content: str) -> None:
    (tmp_path / "data.json").write_text(content)
    assert rows(source(tmp_path / "data.json", Field("v", "integer"), options={"path": path})) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("content", "path", "code", "reported"),
    [
        ('{"data":[{"v":1}]}', "", "no_array", "options.path to the array whose elements are the rows: data"),
        ('{"v":1}\n{"v":2}\n', "", "no_array", "set format to jsonl"),
        ('{"data":[{"v":1}]}', "dta", "no_array", "Did you mean 'data'"),
        ('[{"v":1},{"v":2', "", "cut_off", "cut off"),
        ('[{"v":1}],{"v":2}]', "", "not_json", "more text after the end"),
        ('{"data":[{"v":1}]', "data", "cut_off", "cut off"),
        ("", "", "empty_file", "empty"),
        ("id,v\n1,2\n", "", "no_array", "not an array"),
    ],
)
def test_documents_without_a_sound_array_are_refused(
    tmp_path: Path, content: str, path: str, code: str, reported: str
) -> None:
    (tmp_path / "data.json").write_text(content)
    error = refused(source(tmp_path / "data.json", options={"path": path}))
    assert (error.code, "data.json" in str(error)) == (code, True)
    assert reported in str(error)


KEYS = st.sampled_from(["a", "b", " c", "é", "d.e"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\{}[],:\n\té😀\u2028', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=20),
    st.sampled_from(FORMS),
    st.booleans(),
    st.integers(1, 4),
    st.integers(1, 60),
)
def test_what_pythons_json_writes_comes_back(
    records: list[dict[str, Any]], form: str, ascii_only: bool, partitions: int, chunk: int
) -> None:
    fields = texts("a", "b", "c", "é", "d.e")
    reader = {"json": Json, "jsonl": JsonLines}[form]({}, chunk_bytes=chunk, min_piece_bytes=1)
    # A first row that has all keys, so that none is missing everywhere.
    records = [dict.fromkeys(("a", "b", " c", "é", "d.e")), *records]
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), form, [json.dumps(each, ensure_ascii=ascii_only) for each in records])
        files = source(path, *fields, formats={form: reader})
        assert rows(files, partitions) == [
            tuple(_cell(each, key.name, ascii_only) for key in fields) for each in records
        ]
        check_resuming(files, partitions)


def _cell(record: dict[str, Any], name: str, ascii_only: bool) -> str | None:
    value = record.get(" c" if name == "c" else name)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=ascii_only)


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(FORMS), st.data())
def test_damaged_files_give_rows_and_errors_for_people(form: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), form, [json.dumps({"a": n, "b": ['"', n]}) for n in range(5)])
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = data.draw(st.sampled_from(b'"\\{}[],:\n\0\xff 0a'))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        never_panics(path)
        never_panics(path, Field("a", "bigint"), Field("b", "json"))
