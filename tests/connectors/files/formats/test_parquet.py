"""Parquet by row groups: exact rows, declared types, resuming."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.parquet import BATCH_ROWS, Parquet
from headrace.connectors.files.formats.typed_rows import as_frame
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW, Bound, Wanted
from headrace.ir.schema import Field


@pytest.fixture
def files(tmp_path: Path) -> FileSource:
    frame = pl.DataFrame({"n": range(1000), "t": [f"row {n}" for n in range(1000)]})
    frame.write_parquet(tmp_path / "data.parquet", row_group_size=90)
    return local_files({"path": "data.parquet"}, files_root=tmp_path, formats={"parquet": Parquet({}, batch_rows=64)})


@pytest.mark.parametrize("partitions", [1, 3, 50])
def test_row_groups_make_the_partitions(files: FileSource, partitions: int) -> None:
    found = files.discover(max_partitions=partitions)
    assert len(found.partitions) == min(partitions, 12)
    read = pl.concat([batch.frame for part in found.partitions for batch in files.read(part, found.schema)])
    assert read["n"].to_list() == list(range(1000))
    assert read[ROW].to_list() == list(range(1, 1001))


def test_a_read_resumes_after_any_row(files: FileSource) -> None:
    found = files.discover(max_partitions=2)
    part = found.partitions[1]
    for done in (0, 1, 63, 64, 65, 89, 90, 91, 200, part.rows - 1, part.rows):
        batches = list(files.read(part, found.schema, rows_done=done))
        assert [n for b in batches for n in b.frame[ROW]] == list(
            range(part.first_row + done, part.first_row + part.rows)
        )
        assert not batches or batches[-1].rows_done == part.rows


def test_types_come_from_the_file_and_can_be_declared(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "i": pl.Series([1, 70_000], dtype=pl.UInt32),
            "x": [Decimal("1.50"), None],
            "at": pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 2, dtype=pl.Datetime("ns", "UTC")),
            "day": [date(2024, 1, 1), None],
            "tags": [["a", "b"], None],
            "s": ["12", "x"],
            "c": pl.Series(["u", "v"], dtype=pl.Categorical),
        }
    )
    frame.write_parquet(tmp_path / "data.parquet")
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    assert [(f.name, f.data_type) for f in found.schema] == [
        ("i", "bigint"),
        ("x", "decimal"),
        ("at", "timestamptz"),
        ("day", "date"),
        ("tags", "json"),
        ("s", "text"),
        ("c", "text"),
    ]
    (batch,) = files.read(found.partitions[0], found.schema)
    assert batch.frame["tags"].to_list() == ['["a","b"]', None]
    assert batch.frame["at"].dtype == pl.Datetime("us", "UTC")
    declared = local_files(
        {"path": "data.parquet"}, fields=(Field("s", "integer"), Field("i", "smallint")), files_root=tmp_path
    )
    (batch,) = declared.read(found.partitions[0], (Field("s", "integer"), Field("i", "smallint")))
    assert batch.frame.rows() == [(12, 1, 1)]
    assert batch.rejects.select("row", "column", "value").rows() == [(2, "s", "x"), (2, "i", "70000")]


def test_a_day_beyond_those_that_python_has_rules_nothing_out(tmp_path: Path) -> None:
    """A date is 32 bits of days: the statistics of its row group cannot be looked at."""
    far = pl.Series("day", [0, 5_000_000], dtype=pl.Int32).cast(pl.Date)
    pl.DataFrame([far]).write_parquet(tmp_path / "data.parquet")
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    wanted = Wanted(frozenset({"day"}), (Bound("day", ">", date(2024, 1, 1)),))
    (batch,) = files.read(found.partitions[0], found.schema, wanted=wanted)
    assert (batch.rows, batch.unread) == (2, False)


@pytest.mark.parametrize(("content", "code"), [(b"", "empty_file"), (b"PAR1 not really", "bad_parquet")])
def test_what_is_not_parquet_says_so(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "data.parquet").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        local_files({"path": "data.parquet"}, files_root=tmp_path).discover(max_partitions=1)
    assert caught.value.code == code


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    pl.DataFrame(schema={"a": pl.Int64}).write_parquet(tmp_path / "data.parquet")
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=3)
    assert found.total_rows == 0
    assert [b for part in found.partitions for b in files.read(part, found.schema)] == []


def test_maps_become_json_objects_and_long_decimals_text(tmp_path: Path) -> None:
    maps = [[("a", 1), ('q"', None)], [], None]
    digits = ["12345678901234567890123456789012345.0123456789", "-1.5", None]
    table = pa.table(
        {
            "m": pa.array(maps, pa.map_(pa.string(), pa.int32())),
            "k": pa.array([[(1, "x")], None, []], pa.map_(pa.int64(), pa.string())),
            "d": pa.array([value and Decimal(value) for value in digits], pa.decimal256(50, 10)),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    assert [field.data_type for field in found.schema] == ["json", "json", "text"]
    (batch,) = files.read(found.partitions[0], found.schema)
    assert batch.frame["m"].to_list() == ['{"a":1,"q\\"":null}', "{}", None]
    assert batch.frame["k"].to_list() == ['{"1":"x"}', None, "{}"]
    assert batch.frame["d"].to_list() == [digits[0], "-1.5000000000", None]


def test_values_of_maps_are_json_whatever_they_are(tmp_path: Path) -> None:
    nested = pa.struct([("b", pa.binary()), ("n", pa.list_(pa.float64()))])
    table = pa.table(
        {
            "bytes": pa.array([[("a", b"\xff"), ("b", None)], [], None], pa.map_(pa.string(), pa.binary())),
            "deep": pa.array([[("a", {"b": b"x", "n": [1.5]})], [], None], pa.map_(pa.string(), nested)),
            "number": pa.array([[("a", float("nan"))], [("a", 1e22)], None], pa.map_(pa.string(), pa.float64())),
        }
    )
    frame = as_frame(table, "data.parquet")
    assert frame["bytes"].to_list() == ['{"a":"\\\\xff","b":null}', "{}", None]
    assert frame["deep"].to_list() == ['{"a":{"b":"\\\\x78","n":[1.5]}}', "{}", None]
    assert frame["number"].to_list() == ['{"a":NaN}', '{"a":1e+22}', None]  # NaN is no JSON, and never null


def test_int96_keeps_the_years_that_nanoseconds_cannot_tell(tmp_path: Path) -> None:
    stamps = [datetime(9999, 12, 31), datetime(2024, 1, 2, 3, 4, 5, 678901), datetime(1, 1, 1)]
    table = pa.table({"t": pa.array(stamps, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "data.parquet", use_deprecated_int96_timestamps=True)
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    (batch,) = files.read(found.partitions[0], found.schema)
    assert batch.frame["t"].to_list() == stamps


def test_a_type_that_cannot_be_read_is_reported_with_its_column() -> None:
    span = pa.array([pa.MonthDayNano([1, 2, 3])], pa.month_day_nano_interval())
    with pytest.raises(SourceError, match=r"Column 'span' of data\.parquet has the type month_day_nano_interval"):
        as_frame(pa.table({"n": [1], "span": span}), "data.parquet")


def test_damage_inside_a_file_is_reported(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": list(range(5000))}), tmp_path / "data.parquet", compression="zstd")
    content = bytearray((tmp_path / "data.parquet").read_bytes())
    content[4:40] = b"\xff" * 36
    (tmp_path / "data.parquet").write_bytes(content)
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    with pytest.raises(SourceError, match=r"data\.parquet is damaged"):
        list(files.read(found.partitions[0], found.schema))


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_row_group_of_wide_rows_is_read_in_batches_of_bounded_size(tmp_path: Path, dictionary: bool) -> None:
    """A dictionary has each text once, so that the footer says little of the size of rows."""
    wide = [f"{n % 7}" * 100_000 for n in range(1000)]
    table = pa.table({"n": range(3000), "t": pa.array([*wide, *(["short"] * 2000)], pa.large_string())})
    pq.write_table(table, tmp_path / "wide.parquet", use_dictionary=dictionary, compression="zstd")
    files = local_files({"path": "wide.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    batches = list(files.read(found.partitions[0], found.schema))
    assert max(batch.frame.estimated_size() for batch in batches) < 2 * BATCH_BYTES
    read = pl.concat([batch.frame for batch in batches])
    assert read["n"].to_list() == list(range(3000))
    assert read["t"].to_list() == table["t"].to_pylist()
    for done in (1, 500, 1001, 2999):
        rest = list(files.read(found.partitions[0], found.schema, rows_done=done))
        assert [n for batch in rest for n in batch.frame["n"]] == list(range(done, 3000))


def test_what_a_row_group_has_of_a_column_is_not_read_at_once(tmp_path: Path) -> None:
    table = pa.table({"t": pa.array([f"{n:0100}" for n in range(400_000)], pa.large_string())})
    pq.write_table(table, tmp_path / "data.parquet", use_dictionary=False, compression="none", row_group_size=400_000)
    del table
    before = pa.total_allocated_bytes()
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    batches = files.read(found.partitions[0], found.schema)
    assert next(batches).frame.height == BATCH_ROWS
    assert pa.total_allocated_bytes() - before < (tmp_path / "data.parquet").stat().st_size / 2
