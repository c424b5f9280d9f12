"""Push-down changes no row, no error and no count: every plan is run with and without it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.formats.csv import Csv
from headrace.connectors.files.formats.parquet import Parquet
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW, Bound, Discovery, Wanted
from headrace.flows.compile import PhysicalPlan, ReferenceTable, TargetColumn, logical_plan, physical_plan
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.resume.replay import Replay, only_open_rows
from headrace.flows.runtime.input.partition_input import SourceInput, cut_batch_at
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.stage_runner import run_batch
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.effort import examples
from tests.flows.compile.ops import cases
from tests.flows.compile.ops.every_op import CASES
from tests.flows.compile.ops.shelf import Shelf
from tests.flows.pipelines import document

Found = tuple[dict[str, list[Any]], dict[str, dict[str, int]], list[Any], int]


def planned(
    ops: list[dict[str, Any]],
    found: Discovery,
    table: Sequence[TargetColumn],
    tables: Mapping[str, ReferenceTable] | None = None,
    rules: list[dict[str, Any]] | None = None,
) -> tuple[PhysicalPlan, PhysicalPlan]:
    """The plan with and without."""
    parsed = parse_ir(document(ops, rules))
    assert parsed.ir is not None, parsed.problems
    logical = logical_plan(parsed.ir, {"src": found.schema}, {"tgt": table}, tables=tables)
    assert not logical.problems, logical.problems
    with_it, without = (physical_plan(parsed.ir, logical, {"src": found}, push_down=down) for down in (True, False))
    assert not without.stages[0].unread
    assert not without.stages[0].bounds
    return with_it, without


def outcome(plan: PhysicalPlan, files: FileSource, *, size: int | None = None, marks: Sequence[int] = ()) -> Found:
    """(rows at each sink, counters, rejected cells, rows left unread) of a plan that has one stage."""
    (stage,) = plan.stages
    rows: dict[str, list[Any]] = {sink.id: [] for sink in stage.sinks}
    counted, cells, unread = RowCounts(), [], 0
    for partition in stage.partitions:
        feed = SourceInput(files, stage, partition, size)
        done = 0
        for batch in (piece for whole in feed.read(0, None) for piece in cut_batch_at(whole, marks)):
            assert batch.rows_done == done + batch.rows
            done = batch.rows_done
            unread += batch.rows * batch.unread
            for sink, arrived in run_batch(stage, batch, list(rows)).items():
                rows[sink] += arrived.frame.rows(named=True)
                counted = counted.plus(arrived.row_counts)
                cells += [(each.node, *cell) for each in arrived.rejects for cell in each.cells.rows()]
        assert done == partition.rows
    return rows, counted.nodes, sorted(cells, key=str), unread


CELLS: dict[str, list[str]] = {
    "id": ["1", "-1", "x", "", "2147483648"],
    "text": ["", "a", "1", "ä", "a,b", '{"count": 1}', '{"count": "x"}', "x, y, z"],
    "other": ["", "é", "b"],
    "small": ["1", "70000", ""],
    "price": ["48.1", "95", "north", ""],
    "amount": ["1.50", "2", ""],
    "day": ["2024-02-29", "2024-02-30", ""],
}
BROKEN = [b"1,2", b"1" + b"," * 12, b'1,a"b"c' + b"," * 10, b"1,\xff,\xff" + b"," * 9, b""]


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """One of cases.SCHEMA, whole or broken."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(BROKEN))
    row = [draw(st.sampled_from(CELLS.get(field.name, [""]))) for field in cases.SCHEMA]
    return ",".join('"' + cell.replace('"', '""') + '"' if set(cell) & set(',"') else cell for cell in row).encode()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=examples(15))
@given(
    st.lists(records(), min_size=1, max_size=30),
    st.integers(20, 400),
    st.sets(st.sampled_from(["id", "text", "other", "renamed", "new", "all", "count"])),
    st.sampled_from([None, {"field": "other", "rule": "not_empty"}, {"field": "price", "rule": "expr:other > 'a'"}]),
)
def test_every_op_does_the_same_to_fewer_columns(
    name: str, rows: list[bytes], chunk_bytes: int, columns: set[str], rule: dict[str, Any] | None
) -> None:
    rules = [rule] if rule is not None and name not in ("drop", "rename") else None
    header = ",".join(field.name for field in cases.SCHEMA).encode()
    sound = b"1" + b",\xc3\xa9" * 2 + b"," * 9  # the file is UTF-8: what is not is a broken row
    table = [TargetColumn(Field(column, "text")) for column in ("flag", *sorted(columns))]
    reader = Csv({}, chunk_bytes=chunk_bytes, min_piece_bytes=1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_bytes(b"\n".join([header, sound, *rows]) + b"\n")
        files = local_files({"path": "data.csv"}, fields=cases.SCHEMA, files_root=Path(folder), formats={"csv": reader})
        down, whole = planned([CASES[name]], files.discover(max_partitions=2), table, Shelf().tables, rules)
        assert outcome(down, files) == outcome(whole, files)


FILTERS = [
    "id > 5",
    "id BETWEEN 3 AND 6 AND name IS NOT NULL",
    "5 < id AND name <> 'k5'",
    "day = DATE '2024-01-03'",
    "day >= DATE '2024-01-04' AND id IN (7, 8, 9)",
    "stamp < TIMESTAMP '2024-01-02 00:00:00'",
    "name >= 'k6'",
    "amount <= 2.5",
    "price > 4",
    "NOT id > 5",
    "id > 5 OR id < 3",
    "id > 5 AND CAST(name AS INT) > 0",
    "id > 5 AND 10 / (id - 7) > 1",
]
UNBOUNDED = {"price > 4", "NOT id > 5", *FILTERS[-3:]}


@settings(max_examples=examples(25))
@given(
    st.lists(st.integers(0, 9) | st.none(), min_size=1, max_size=40),
    st.integers(1, 5),
    st.lists(st.integers(1, 40), max_size=3),
    st.none() | st.integers(1, 7),
    st.sampled_from(["id", "most"]),
)
def test_row_groups_that_a_filter_wants_nothing_of_are_counted_and_not_read(
    numbers: list[int | None], group: int, marks: list[int], size: int | None, column: str
) -> None:
    frame = pl.DataFrame(
        {
            "id": pl.Series(numbers, dtype=pl.Int64),
            "name": [None if n is None else f"k{n}" for n in numbers],
            "amount": pl.Series([None if n is None else Decimal(n) / 2 for n in numbers], dtype=pl.Decimal(12, 2)),
            "price": pl.Series([float("nan") if n == 3 else n for n in numbers], dtype=pl.Float64),
            "day": pl.Series([None if n is None else date(2024, 1, 1 + n) for n in numbers], dtype=pl.Date),
            "stamp": pl.Series(
                [None if n is None else datetime(2024, 1, 1 + n) for n in numbers], dtype=pl.Datetime("us")
            ),
            "more": ["x" * 10 for _ in numbers],
        }
    )
    table = [TargetColumn(Field(column, "text"))]
    with tempfile.TemporaryDirectory() as folder:
        frame.write_parquet(Path(folder) / "data.parquet", row_group_size=group)
        formats = {"parquet": Parquet({}, batch_rows=3)}
        files = local_files({"path": "data.parquet"}, files_root=Path(folder), formats=formats)
        found = files.discover(max_partitions=2)
        for condition in FILTERS:
            rename = {"type": "rename", "from": "more", "to": "most"}
            down, whole = planned([rename, {"type": "filter", "expression": condition}], found, table)
            *made, unread = outcome(down, files, size=size, marks=marks)
            *expected, _ = outcome(whole, files, size=size, marks=marks)
            assert made == expected, condition
            assert bool(down.stages[0].bounds) == (condition not in UNBOUNDED)
            # A group is left unread if its values alone show that none is wanted.
            groups = [numbers[at : at + group] for at in range(0, len(numbers), group)]
            if condition == "id > 5":
                assert unread == sum(len(each) for each in groups if all(n is None or n <= 5 for n in each))


def test_rows_that_are_run_again_are_read_whatever_a_filter_wants(tmp_path: Path) -> None:
    """They failed at a filter that is another one now."""
    pl.DataFrame({"id": range(10)}).write_parquet(tmp_path / "data.parquet", row_group_size=2)
    files = local_files({"path": "data.parquet"}, files_root=tmp_path)
    (part,) = only_open_rows(files.discover(max_partitions=1), {0: OpenPartition([2, 3, 9], {})}, {}).partitions
    wanted = Wanted(frozenset({"id"}), (Bound("id", ">", 100),))
    batches = list(Replay(files).read(part, (Field("id", "bigint"),), wanted=wanted))
    assert [row for batch in batches for row in batch.frame[ROW]] == [2, 3, 9]
