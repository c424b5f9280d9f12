"""ORC by stripes."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import orc

from headrace.connectors.files.formats.orc import Orc
from tests.connectors.files.formats.reading import check_resuming, never_panics, refused, rows, source, texts
from tests.effort import examples


def written(folder: Path, values: pa.Array, **options: Any) -> Path:
    orc.write_table(pa.table({"v": values}), folder / "data.orc", **options)
    return folder / "data.orc"


@pytest.mark.parametrize(
    ("kind", "value", "data_type", "expected"),
    [
        (pa.int64(), 2**63 - 1, "bigint", 2**63 - 1),
        (pa.string(), "é", "text", "é"),
        (pa.float64(), 0.1, "double", 0.1),
        (pa.bool_(), True, "boolean", True),
        (pa.date32(), date(1, 1, 1), "date", date(1, 1, 1)),
        (pa.timestamp("us"), datetime(2024, 1, 1, 1, 2, 3, 456789), "timestamp", datetime(2024, 1, 1, 1, 2, 3, 456789)),
        (pa.timestamp("us", "UTC"), datetime(2024, 1, 1, tzinfo=UTC), "timestamptz", datetime(2024, 1, 1, tzinfo=UTC)),
        (pa.decimal128(30, 12), Decimal("1234567890.123456789012"), "decimal", Decimal("1234567890.123456789012")),
        (pa.list_(pa.int64()), [1, 2], "json", "[1,2]"),
        (pa.map_(pa.string(), pa.int64()), [("a", 1)], "json", '{"a":1}'),
        (pa.binary(), b"\x00\xff", "text", "\\x00ff"),
    ],
)
def test_every_type_comes_through(tmp_path: Path, kind: Any, value: Any, data_type: str, expected: Any) -> None:
    files = source(written(tmp_path, pa.array([value, None], kind)))
    (field,) = files.discover(max_partitions=1).schema
    assert field.data_type == data_type
    assert rows(files) == [(expected,), (None,)]


@pytest.mark.parametrize("value", [datetime(1600, 1, 1), datetime(1677, 9, 21), datetime(2262, 4, 12), datetime.max])
@pytest.mark.parametrize("nested", [False, True])
def test_a_timestamp_that_would_wrap_around_is_told(tmp_path: Path, value: datetime, nested: bool) -> None:
    values = [datetime(1677, 9, 22), None, datetime(2262, 4, 11), value, datetime(2024, 1, 1)]
    kind = pa.timestamp("us")
    made = pa.array([[each] for each in values], pa.list_(kind)) if nested else pa.array(values, kind)
    error = refused(source(written(tmp_path, made)))
    assert (error.code, "column 'v', one of the rows 1 to 5:" in str(error)) == ("bad_orc", True), str(error)
    assert "from 1677 to 2262" in str(error)


def test_it_is_told_with_the_rows_of_its_stripe(tmp_path: Path) -> None:
    stamps = [datetime(2024, 1, 1)] * 5000
    stamps[4321] = datetime(9999, 1, 1)
    table = pa.table({"text": [f"{n} {'x' * 50}" for n in range(5000)], "at": pa.array(stamps, pa.timestamp("us"))})
    orc.write_table(table, tmp_path / "data.orc", stripe_size=10_000, batch_size=500)
    error = refused(source(tmp_path / "data.orc"))
    assert "column 'at', one of the rows 4,001 to 4,500" in str(error)


def test_stripes_make_the_pieces_and_a_read_goes_on_from_anywhere(tmp_path: Path) -> None:
    path = written(tmp_path, pa.array([f"{n} {'x' * 50}" for n in range(5000)]), stripe_size=10_000, batch_size=500)
    files = source(path, formats={"orc": Orc({}, batch_rows=300)})
    assert len(files.discover(max_partitions=3).partitions) == 3
    assert len(rows(files)) == 5000
    check_resuming(files, 3)


def test_missing_columns_and_empty_files(tmp_path: Path) -> None:
    path = written(tmp_path, pa.array([], pa.int64()))
    assert rows(source(path)) == []
    assert refused(source(path, *texts("w"))).code == "missing_column"
    path.write_bytes(b"")
    assert refused(source(path)).code == "empty_file"


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_damaged_files_are_errors_for_people(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), pa.array(["abc", None, "d"] * 5))
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        never_panics(path)
