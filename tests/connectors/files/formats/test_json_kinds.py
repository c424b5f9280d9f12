"""Columns of JSON lines that are decoded straight to their types give what their values as written give, whatever kinds
of values are among them."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.delimited.structure import line_ends
from headrace.connectors.files.jsontext import rows as decoding
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.reader import RowReader
from headrace.connectors.source import ROW, Batch
from headrace.ir.schema import DataType, Field, Schema
from tests.connectors.files.formats.reading import everything, source
from tests.effort import examples

TYPES: list[DataType] = ["text", "smallint", "integer", "bigint", "double", "boolean", "date", "timestamptz", "json"]
USUAL = {
    "text": ['""', '"x"', '"null"', '"a\\n\\"\\u00e9\\ud83d\\ude00"', '"-0,"', '"\\u0000"'],
    "smallint": ["0", "-32768", "32767"],
    "integer": ["0", "-2147483648", "2147483647"],
    "bigint": ["9007199254740993", "-9223372036854775808", "9223372036854775807"],
    "double": ["0", "-0.0", "0.1", "5e-324", "1.7976931348623157e308", "9007199254740993", "2.2250738585072011e-308"],
    "boolean": ["true", "false"],
    "date": ['"2024-02-29"', '"0001-01-01"'],
    "timestamptz": ['"2024-01-31T10:00:00Z"', '"2024-01-31 10:00:00.5+05:30"'],
    "json": ['{"a": 1.10, "b":[ 1e5 ]}', '"t"', "[]"],
}
ODD = [
    "null",
    "1.0",
    "1.50",
    "-0",
    "1e2",
    "1e400",
    "1" + "0" * 400,
    "40000",
    "9223372036854775808",
    '"5"',
    '" 7 "',
    "7",
]
ODD += ['"true"', "true", "[1, 2]", '{"x": 1.10}', '""', '"2024-02-30"', '"inf"', "[" * 1500 + "]" * 1500]
BROKEN = [
    '"\\ud800"',
    '"\\udc00"',
    "NaN",
    "-Infinity",
    "01",
    ".5",
    "1.",
    "nul",
    '"a\tb"',
    '"a\x00b"',
    '"\\x"',
    "1,",
    "",
]


def as_written(schema: Schema, lines: bytes) -> Batch:
    """The batch of a reader that decodes nothing to types."""
    reader = RowReader(schema, {field.name: field.name for field in schema}, ["no value is this text"])
    return reader.parse(Block(len(lines), lines, line_ends(lines), lines=True), 1, 0)


def _exact(frame: pl.DataFrame) -> list[Any]:
    """The values, with the sign of zeros."""
    return [[struct.pack("<d", cell) if isinstance(cell, float) else cell for cell in row] for row in frame.iter_rows()]


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_what_is_decoded_to_types_is_what_is_written(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(["a", "b", "é", "d.e"]), min_size=1, max_size=3, unique=True))
    schema = tuple(Field(name, data.draw(st.sampled_from(TYPES))) for name in names)
    odd = data.draw(st.sampled_from([[], ["null"], ODD, ODD + BROKEN]))
    values = [st.sampled_from(USUAL[field.data_type] * 3 + odd) for field in schema]
    reader = RowReader(schema, {name: name for name in names})
    part = data.draw(st.sampled_from([1, 40, 1 << 18]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_PART_BYTES", part)
        patch.setattr(decoding, "_PART_ROWS", 1)
        for _ in range(3):  # the reader has learned from the block before
            lines = []
            for _ in range(data.draw(st.integers(1, 12))):
                pairs = [f"{json.dumps(name)}: {data.draw(value)}" for name, value in zip(names, values, strict=True)]
                forms = [pairs, pairs[1:], pairs[::-1], [*pairs, *pairs[:1]], ['"z": [0]', *pairs]]
                pairs = data.draw(st.sampled_from(forms))
                lines.append("{" + ", ".join(pairs) + "}" + data.draw(st.sampled_from(["", "", "\r", "\n"])))
            text = "\n".join([*lines, ""]).encode()
            block = Block(len(text), text, line_ends(text), lines=True)
            skip = data.draw(st.sampled_from([0, 0, 0, 1, len(lines) - 1]))
            found = reader.parse(block, 1, skip)
            wanted = as_written(schema, text)
            assert found.rows == wanted.rows - skip
            assert found.frame.schema == wanted.frame.schema
            assert _exact(found.frame) == _exact(wanted.frame.filter(pl.col(ROW) > skip))
            assert found.rejects.rows() == wanted.rejects.filter(pl.col("row") > skip).rows()


@pytest.mark.parametrize(
    ("data_type", "odd", "expected"),
    [
        ("text", "1.50", "1.50"),
        ("text", '{"x": 1.10}', '{"x": 1.10}'),
        ("text", "true", "true"),
        ("bigint", "3.0", 3),
        ("bigint", '"5"', 5),
        ("smallint", "40000", None),
        ("bigint", "9223372036854775808", None),
        ("double", '"0.5"', 0.5),
        ("double", "1e400", None),
        ("boolean", '"yes"', True),
        ("boolean", "1", True),
    ],
)
def test_one_value_of_another_kind_is_read_as_it_is_written(
    tmp_path: Path, data_type: DataType, odd: str, expected: Any
) -> None:
    """In the last of many rows, so that all before it have been decoded to types."""
    usual = next(each for each in USUAL[data_type] if each not in ('""', "0"))
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"v":{value}}}\n' for value in [*[usual] * 30_000, odd]))
    files = source(path, Field("v", data_type))
    frame, rejects = everything(files, files.discover(max_partitions=1))
    if expected is None:
        assert rejects.rows() == [(30_001, "v", odd, rejects["error"][0], "type")]
        assert frame.height == 30_000
    else:
        assert not rejects.height
        assert frame["v"][-1] == expected
    assert frame["v"][0] == frame["v"][29_999]


def test_a_bad_line_and_a_bad_cell_are_found_in_any_part_of_a_block() -> None:
    """A block is decoded in parts; rows are numbered in the whole of it."""
    schema = (Field("id", "integer"), Field("t", "text"))
    lines = [f'{{"id":{place},"t":"{"x" * 40}"}}' for place in range(1, 20_001)]
    lines[4_999], lines[14_999], lines[19_999] = '{"id":1', '{"id":"x","t":"y"}', "[1]"
    text = "\n".join(lines).encode()
    ends = [*line_ends(text), len(text)]
    assert len(text) > 3 * decoding._PART_BYTES
    reader = RowReader(schema, {"id": "id", "t": "t"})
    for skip in (0, 4_998, 4_999, 5_000, 19_999):
        batch = reader.parse(Block(len(text), text, pl.Series(ends).to_numpy(), lines=True), 101, skip)
        assert batch.rows == 20_000 - skip
        bad = [(5_000, None), (15_000, "id"), (20_000, None)]
        assert batch.rejects.select("row", "column").rows() == [(100 + row, name) for row, name in bad if row > skip]
        assert (batch.frame[ROW] - 100 == batch.frame["id"]).all()


def test_types_are_read_in_few_calls_of_python_per_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of good rows is decoded once, and no value of a column with a type is made to text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.jsonl"
        path.write_text("".join(f'{{"id":{n},"t":"{n}","d":{n}.5,"b":true,"n":null}}\n' for n in range(20_000)))
        fields = (Field("id", "bigint"), Field("t", "text"), Field("d", "double"), Field("b", "boolean"))
        files = source(path, *fields, Field("n", "integer"))
        found = files.discover(max_partitions=1)

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("read as written")

        monkeypatch.setattr(decoding.Columns, "texts", refuse)
        monkeypatch.setattr("headrace.connectors.files.jsontext.reader.joined_cells", refuse)
        frame, rejects = everything(files, found)
    assert (frame.height, rejects.height) == (20_000, 0)
    assert frame.row(7)[:5] == (7, "7", 7.5, True, None)
