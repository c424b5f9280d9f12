"""Text of fixed widths, by characters."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.files.formats.fixed import Fixed
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import check_resuming, everything, refused, rows, source, texts
from tests.effort import examples

COLUMNS = [
    {"name": "id", "start": 1, "width": 4},
    {"name": "t", "start": 5, "width": 6},
    {"name": "n", "start": 12, "width": 8},
]
FORM: dict[str, Any] = {"format": "fixed", "options": {"columns": COLUMNS}}


def written(folder: Path, content: bytes) -> Path:
    (folder / "data.txt").write_bytes(content)
    return folder / "data.txt"


def test_columns_are_ranges_of_characters(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff0001é 漢字  |   12.50ignored\r\n0002short\r\n\r\n0003\r\n".encode())
    fields = (Field("id", "integer"), Field("t", "text"), Field("n", "decimal", 8, 2))
    assert rows(source(path, *fields, **FORM)) == [(1, "é 漢字", Decimal("12.50")), (2, "short", None), (3, None, None)]
    assert [field.data_type for field in source(path, **FORM).discover(max_partitions=1).schema] == [
        "text",
        "text",
        "double",
    ]


def test_options_of_text_hold_here_too(tmp_path: Path) -> None:
    path = written(tmp_path, "HEAD\n0001é      1.234,5\n0002NA\n".encode("latin-1"))
    options = {"encoding": "latin-1", "skipRows": 1, "decimal": ",", "thousands": ".", "nullValues": "NA"}
    config = {"format": "fixed", "options": {"columns": COLUMNS, **options}}
    assert rows(source(path, **config)) == [("0001", "é", 1234.5), ("0002", None, None)]


def test_bad_lines_and_cells_are_error_rows(tmp_path: Path) -> None:
    path = written(tmp_path, b"0001caf\xc3\xa9\n00x2b\n0003\xff\n0004d\n")
    files = source(path, Field("id", "integer"), Field("t", "text"), **FORM)
    frame, rejects = everything(files, files.discover(max_partitions=1))
    assert frame["id"].to_list() == [1, 4]
    assert rejects.select("row", "rule").rows() == [(2, "type"), (3, "encoding")]


@pytest.mark.parametrize(
    "columns",
    [
        None,
        [],
        [{"name": "a"}],
        [{"name": "a", "start": 0, "width": 1}],
        [{"name": "a", "start": 1, "width": True}],
        [COLUMNS[0], COLUMNS[0]],
    ],
)
def test_columns_that_cannot_be(tmp_path: Path, columns: Any) -> None:
    path = written(tmp_path, b"1\n")
    assert refused(source(path, format="fixed", options={"columns": columns})).code == "bad_option"


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(*[st.text(alphabet="ab é漢", max_size=4).map(str.strip)] * 2), max_size=20), st.integers(1, 40)
)
def test_what_is_padded_comes_back(table: list[tuple[str, str]], chunk: int) -> None:
    content = "".join(f"{a:<4}|{b:>4}\n" for a, b in table).encode() or b"|\n"
    columns = [{"name": "a", "start": 1, "width": 4}, {"name": "b", "start": 6, "width": 4}]
    with tempfile.TemporaryDirectory() as folder:
        reader = Fixed({"columns": columns}, chunk_bytes=chunk, min_piece_bytes=1)
        files = source(written(Path(folder), content), *texts("a", "b"), formats={"txt": reader})
        if table:
            assert [(a or "", b or "") for a, b in rows(files, 3)] == table
        check_resuming(files, 3)
