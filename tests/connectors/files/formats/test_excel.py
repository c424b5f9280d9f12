"""Workbooks: stored values, selection of sheets and headers, reports of damage."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.files.formats.excel import Excel
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import check_resuming, never_panics, refused, rows, source, texts
from tests.effort import examples


def written(folder: Path, *table: list[Any], sheets: tuple[str, ...] = ("First",)) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name in sheets:
        sheet = book.create_sheet(name)
        for row in table:
            sheet.append(row)
    book.save(folder / "data.xlsx")
    return folder / "data.xlsx"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (1234567890123456, "1234567890123456"),
        (0.1, "0.1"),
        (1e-12, "1e-12"),
        ("0123", "0123"),
        ("1.0", "1.0"),
        ('say "hi"\nä\\', 'say "hi"\nä\\'),
        (True, "true"),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, 10, 11, 12), "2024-01-31T10:11:12"),
        (time(10, 11), "10:11:00"),
        (timedelta(hours=30), "P1DT21600S"),
        (None, None),
    ],
)
def test_a_value_comes_through_as_the_workbook_keeps_it(tmp_path: Path, value: Any, expected: Any) -> None:
    path = written(tmp_path, ["k", "v"], [1, value], [2, value])
    assert rows(source(path, *texts("k", "v"))) == [("1", expected), ("2", expected)]


def test_types_are_guessed_by_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path, ["n", "x", "d", "zip"], *[[n, n + 0.5, date(2024, 1, 1), "1234"] for n in range(50)])
    found = source(path).discover(max_partitions=1)
    assert [field.data_type for field in found.schema] == ["integer", "double", "date", "text"]


def test_sheets_and_header_rows(tmp_path: Path) -> None:
    table = [["Report"], [], ["a", "b\nc", "a", None], [1, 2, 3, None], [], [4, 5, 6, ""]]
    path = written(tmp_path, *table, sheets=("One", "Two"))
    files = source(path, options={"sheet": "Two", "headerRow": 3})
    found = files.discover(max_partitions=1)
    assert [field.name for field in found.schema] == ["a", "b c", "a_2"]
    assert rows(files) == [(1, 2, 3), (4, 5, 6)]
    assert len(rows(source(path, options={"sheet": 2, "header": False}))) == 4
    assert "Its sheets are: One, Two" in str(refused(source(path, options={"sheet": "Tow"})))
    assert refused(source(path, options={"headerRow": 2})).code == "bad_header"


@pytest.mark.parametrize(
    "options", [{"headerRow": True}, {"headerRow": 0}, {"sheet": True}, {"sheet": False}, {"sheet": 0}, {"sheet": 1.0}]
)
def test_neither_a_sheet_nor_a_row_is_a_boolean_or_nought(tmp_path: Path, options: dict[str, Any]) -> None:
    path = written(tmp_path, ["a"], [1])
    assert refused(source(path, options=options)).code == "bad_option"


def test_a_read_goes_on_from_anywhere(tmp_path: Path) -> None:
    path = written(tmp_path, ["a"], *[[n] for n in range(50)])
    files = source(
        path, Field("a", "integer"), formats={"xlsx": Excel({}, batch_rows=7), "excel": Excel({}, batch_rows=7)}
    )
    check_resuming(files, 3)


def test_what_is_no_workbook_says_so(tmp_path: Path) -> None:
    path = tmp_path / "data.xlsx"
    for content, code in [(b"", "empty_file"), (b"a,b\n1,2\n", "bad_excel"), (b"PK\x03\x04junk", "bad_excel")]:
        path.write_bytes(content)
        assert refused(source(path)).code == code


CELLS = st.none() | st.integers(-(10**15), 10**15) | st.text(alphabet='ab"\\:,{} é', min_size=1, max_size=5)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), CELLS, CELLS), min_size=1, max_size=10))
def test_what_openpyxl_writes_comes_back(table: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), ["i", "b", "c"], *map(list, table))
        expected = [tuple(None if cell is None else str(cell) for cell in row) for row in table]
        assert rows(source(path, *texts("i", "b", "c"))) == expected


@cache
def two_rows() -> bytes:
    """One workbook for all examples: it stores the time of writing, so another one may differ in size."""
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder), ["a", "b"], [1, "x"], [2, "y"]).read_bytes()


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_damaged_files_are_errors_for_people(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.xlsx")
        content = bytearray(two_rows())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        never_panics(path)


@pytest.mark.slow
def test_wide_rows_are_given_few_at_a_time(tmp_path: Path) -> None:
    """A cell of Excel has at most 32,767 characters."""
    path = written(tmp_path, ["n", "t"], *([n, "x" * 32_000] for n in range(2000)))
    files = source(path, *texts("n", "t"))
    found = files.discover(max_partitions=1)
    batches = list(files.read(found.partitions[0], found.schema))
    assert max(batch.frame.estimated_size() for batch in batches) < 2 * BATCH_BYTES
    assert [n for batch in batches for n in batch.frame["n"]] == [str(n) for n in range(2000)]
