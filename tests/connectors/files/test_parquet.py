"""Parquet by row groups: exact rows, declared types, resuming."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from connectors.base import ROW, Bound, SourceError, Wanted
from connectors.files.formats.parquet import Parquet
from connectors.files.local_fs import LocalFiles
from ir.schema import Field


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    frame = pl.DataFrame({"n": range(1000), "t": [f"row {n}" for n in range(1000)]})
    frame.write_parquet(tmp_path / "data.parquet", row_group_size=90)
    return LocalFiles({"path": "data.parquet"}, files_root=tmp_path, formats={"parquet": Parquet({}, batch_rows=64)})


@pytest.mark.parametrize("partitions", [1, 3, 50])
def test_row_groups_make_the_partitions(files: LocalFiles, partitions: int) -> None:
    found = files.discover(max_partitions=partitions)
    assert len(found.partitions) == min(partitions, 12)
    read = pl.concat([batch.frame for part in found.partitions for batch in files.read(part, found.schema)])
    assert read["n"].to_list() == list(range(1000))
    assert read[ROW].to_list() == list(range(1, 1001))


def test_a_read_resumes_behind_any_row(files: LocalFiles) -> None:
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
    files = LocalFiles({"path": "data.parquet"}, files_root=tmp_path)
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
    declared = LocalFiles(
        {"path": "data.parquet"}, fields=(Field("s", "integer"), Field("i", "smallint")), files_root=tmp_path
    )
    (batch,) = declared.read(found.partitions[0], (Field("s", "integer"), Field("i", "smallint")))
    assert batch.frame.rows() == [(12, 1, 1)]
    assert batch.rejects.select("row", "column", "value").rows() == [(2, "s", "x"), (2, "i", "70000")]


def test_a_day_beyond_those_that_python_has_rules_nothing_out(tmp_path: Path) -> None:
    """A date is 32 bits of days: the statistics of its row group cannot be looked at."""
    far = pl.Series("day", [0, 5_000_000], dtype=pl.Int32).cast(pl.Date)
    pl.DataFrame([far]).write_parquet(tmp_path / "data.parquet")
    files = LocalFiles({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    wanted = Wanted(frozenset({"day"}), (Bound("day", ">", date(2024, 1, 1)),))
    (batch,) = files.read(found.partitions[0], found.schema, wanted=wanted)
    assert (batch.rows, batch.unread) == (2, False)


@pytest.mark.parametrize(("content", "code"), [(b"", "empty_file"), (b"PAR1 not really", "bad_parquet")])
def test_what_is_not_parquet_says_so(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "data.parquet").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        LocalFiles({"path": "data.parquet"}, files_root=tmp_path).discover(max_partitions=1)
    assert caught.value.code == code


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    pl.DataFrame(schema={"a": pl.Int64}).write_parquet(tmp_path / "data.parquet")
    files = LocalFiles({"path": "data.parquet"}, files_root=tmp_path)
    found = files.discover(max_partitions=3)
    assert found.total_rows == 0
    assert [b for part in found.partitions for b in files.read(part, found.schema)] == []
