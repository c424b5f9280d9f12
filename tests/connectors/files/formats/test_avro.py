"""Avro by blocks: every type is read unchanged by both decoders, and damage is reported."""

from __future__ import annotations

import io
import tempfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.formats.avro import Avro
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import check_resuming, never_panics, refused, rows, source, texts
from tests.effort import examples


def written(folder: Path, kind: Any, values: list[Any], *, codec: str = "null", interval: int = 16_000) -> Path:
    schema = {"type": "record", "name": "row", "fields": [{"name": "v", "type": kind}]}
    with (folder / "data.avro").open("wb") as file:
        fastavro.writer(file, schema, [{"v": value} for value in values], codec=codec, sync_interval=interval)
    return folder / "data.avro"


STAMP = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
MAP = {"type": "map", "values": ["null", "long"]}
INNER = {"type": "record", "name": "in", "fields": [{"name": "s", "type": STAMP}]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 12}


@pytest.mark.parametrize(
    ("kind", "value", "data_type", "expected"),
    [
        ("long", 2**63 - 1, "bigint", 2**63 - 1),
        (["null", "int"], None, "integer", None),
        (["string", "null"], "é", "text", "é"),
        ("double", 0.1, "double", 0.1),
        ("float", 1.5, "double", 1.5),
        ("boolean", True, "boolean", True),
        ("bytes", b"\x00\xff", "text", "\\x00ff"),
        ({"type": "fixed", "name": "f", "size": 2}, b"ab", "text", "\\x6162"),
        ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, "B", "text", "B"),
        ({"type": "int", "logicalType": "date"}, date(1, 1, 1), "date", date(1, 1, 1)),
        ({"type": "long", "logicalType": "time-micros"}, time(23, 59, 59, 999999), "time", time(23, 59, 59, 999999)),
        (STAMP, datetime(1600, 1, 1, 1, 2, 3, 456789, UTC), "timestamptz", datetime(1600, 1, 1, 1, 2, 3, 456789, UTC)),
        (LOCAL, datetime(9999, 1, 1), "timestamp", datetime(9999, 1, 1)),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=7), "uuid", str(UUID(int=7))),
        (DECIMAL, Decimal("1234567890.123456789012"), "decimal", Decimal("1234567890.123456789012")),
        (["null", DECIMAL], None, "decimal", None),
        (["null", "string", "long"], 2**62, "text", str(2**62)),
        (["null", "string", "long"], "t", "text", "t"),
        (MAP, {"a": 2**62, "b": None}, "json", '{"a":4611686018427387904,"b":null}'),
        ({"type": "array", "items": DECIMAL}, [Decimal("1.500000000000")], "json", "[1.500000000000]"),
        (INNER, {"s": datetime(2024, 1, 1, tzinfo=UTC)}, "json", '{"s":"2024-01-01T00:00:00Z"}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_every_type_comes_through(
    tmp_path: Path, kind: Any, value: Any, data_type: str, expected: Any, codec: str
) -> None:
    files = source(written(tmp_path, kind, [value, value], codec=codec))
    (field,) = files.discover(max_partitions=1).schema
    assert field.data_type == data_type
    assert rows(files) == [(expected,), (expected,)]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "zstandard"])
@pytest.mark.parametrize("kind", ["long", ["null", "long", "string"]])
def test_blocks_make_the_pieces_and_a_read_goes_on_from_anywhere(tmp_path: Path, codec: str, kind: Any) -> None:
    path = written(tmp_path, kind, list(range(2000)), codec=codec, interval=500)
    files = source(path, Field("v", "bigint"), formats={"avro": Avro({}, batch_rows=300)})
    assert len(files.discover(max_partitions=4).partitions) == 4
    assert rows(files) == [(n,) for n in range(2000)]
    check_resuming(files, 3)


def test_columns_that_are_missing_and_an_empty_file(tmp_path: Path) -> None:
    path = written(tmp_path, "long", [])
    assert rows(source(path)) == []
    assert refused(source(path, *texts("w"))).code == "missing_column"
    path.write_bytes(b"")
    assert refused(source(path)).code == "empty_file"


def test_a_block_that_promises_rows_out_of_nothing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "null", [None] * 3)
    content = path.read_bytes()
    sync = content[-16:]
    path.write_bytes(content[: content.index(sync) + 16] + b"\xfe\xff\xff\xff\x1f\x00" + sync)
    assert "rows in 0 bytes" in str(refused(source(path)))
    assert refused(source(written(tmp_path, {"type": "array", "items": "null"}, [[None]]))).code == "unsupported_type"


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.none() | st.text(max_size=5), st.floats(allow_nan=False))),
    st.sampled_from(["null", "deflate"]),
    st.booleans(),
)
def test_what_fastavro_writes_comes_back(table: list[tuple[Any, ...]], codec: str, mapped: bool) -> None:
    fields = [{"name": "i", "type": "long"}, {"name": "t", "type": ["null", "string"]}, {"name": "x", "type": "double"}]
    fields += [{"name": "m", "type": {"type": "map", "values": "long"}}] * mapped
    records = [{"i": i, "t": t, "x": x, "m": {"k": i}} for i, t, x in table]
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "r", "fields": fields}, records, codec=codec, sync_interval=60)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.avro").write_bytes(out.getvalue())
        files = source(Path(folder) / "data.avro")
        assert [row[:3] for row in rows(files, 3)] == table
        if mapped:
            assert [row[3] for row in rows(files)] == [f'{{"k":{row[0]}}}' for row in table]
        check_resuming(files, 2)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(["long", ["null", "string"], {"type": "map", "values": "long"}]), st.data())
def test_damaged_files_are_errors_for_people(kind: Any, data: st.DataObject) -> None:
    value: Any = 5 if kind == "long" else {"a": 1} if isinstance(kind, dict) else "text"
    with tempfile.TemporaryDirectory() as folder:
        path = written(
            Path(folder), kind, [value] * 20, interval=50, codec=data.draw(st.sampled_from(["null", "deflate"]))
        )
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        never_panics(path)
