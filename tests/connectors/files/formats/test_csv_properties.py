"""Generated CSV files, cut anywhere: rows, row numbers and resumed reads are exact."""

from __future__ import annotations

import csv
import io
import tempfile
from itertools import pairwise
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.files.delimited.dialect import Dialect, read_header
from headrace.connectors.files.delimited.scan import scan
from headrace.connectors.files.formats.csv import Csv
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.files.streams import open_stream
from headrace.connectors.source import ROW, Discovery, Wanted
from headrace.ir.schema import Field
from tests.effort import examples

CELL = st.text(alphabet=st.sampled_from('ab",\n\r 0é漢😀;\t|'), max_size=6)
COLUMNS = st.integers(1, 4)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[list[str]]]:
    """A CSV as the csv module writes it, with blank lines strewn in, and its cells."""
    width = draw(COLUMNS)
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=25))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    bare_return = any("\r" in cell for row in rows for cell in row)  # the csv module does not quote it by itself
    quoting = csv.QUOTE_ALL if bare_return else draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    header = [f"c{number}" for number in range(width)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline, quoting=quoting)
    for row in [header, *rows]:
        writer.writerow(row)
        out.write(newline * draw(st.sampled_from([0, 0, 0, 1, 2])))
    text = out.getvalue()
    if draw(st.booleans()):
        text = text[: -len(newline)]
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(), rows


def source(folder: str, chunk_bytes: int, fields: tuple[Field, ...] = ()) -> FileSource:
    reader = Csv({}, chunk_bytes=chunk_bytes, min_piece_bytes=1)
    return local_files({"path": "data.csv"}, fields=fields, files_root=Path(folder), formats={"csv": reader})


def texts(width: int) -> tuple[Field, ...]:
    return tuple(Field(f"c{number}", "text") for number in range(width))


def everything(files: FileSource, found: Discovery) -> pl.DataFrame:
    frames = [batch.frame for part in found.partitions for batch in files.read(part, found.schema)]
    return pl.concat(frames) if frames else pl.DataFrame(schema={ROW: pl.Int64})


@settings(max_examples=examples(250))
@given(documents(), st.integers(1, 6), st.integers(1, 80))
def test_rows_are_those_of_the_csv_module_with_exact_numbers(
    document: tuple[bytes, list[list[str]]], partitions: int, chunk_bytes: int
) -> None:
    content, rows = document
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_bytes(content)
        width = len(content.decode("utf-8-sig").splitlines()[0].split(","))
        files = source(folder, chunk_bytes, texts(width))
        found = files.discover(max_partitions=partitions)
        read = everything(files, found)
    expected = [[cell or None for cell in row] for row in rows]
    actual = [[cell or None for cell in row[:-1]] for row in read.rows()]
    assert actual == expected
    assert read.get_column(ROW).to_list() == list(range(1, len(rows) + 1))
    assert found.total_rows == len(rows)
    assert len(found.partitions) <= partitions
    pieces = [piece for part in found.partitions for piece in part.location["pieces"]]
    assert all(one["end"] == other["start"] for one, other in pairwise(pieces))
    assert pieces[-1]["end"] == len(content)
    first = 1
    for part in found.partitions:
        assert part.first_row == first
        first += part.rows


@settings(max_examples=examples(200))
@given(
    documents(),
    st.sets(st.integers(0, 3)),
    st.integers(1, 80),
    st.lists(st.sampled_from(["short", "long", "empty", "sound"]), max_size=4),
)
@example((b"c0,c1\n", []), {1}, 80, ["sound", "long", "sound"])
def test_columns_that_nobody_wants_change_nothing_for_the_others(
    document: tuple[bytes, list[list[str]]], wanted: set[int], chunk_bytes: int, more: list[str]
) -> None:
    content, _ = document
    width = len(content.decode("utf-8-sig").splitlines()[0].split(","))
    kinds = {"short": ["x"] * (width - 1), "long": ["x"] * (width + 1), "sound": ["x"] * width}
    lines = [",".join(kinds.get(kind, ["x"] * width + [""])).encode() for kind in more]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_bytes(b"\n".join([content.rstrip(b"\r\n"), *lines]))
        files = source(folder, chunk_bytes, texts(width))
        (part,) = files.discover(max_partitions=1).partitions
        names = [f"c{number}" for number in sorted(wanted) if number < width]
        few = list(files.read(part, texts(width), wanted=Wanted(frozenset(names))))
        for less, whole in zip(few, files.read(part, texts(width)), strict=True):
            assert less.frame.equals(whole.frame.select(*names, ROW))
            assert less.rejects.equals(whole.rejects)
            assert (less.rows, less.rows_done, less.position) == (whole.rows, whole.rows_done, whole.position)


@settings(max_examples=examples(150))
@given(documents(), st.integers(1, 5), st.integers(1, 70))
def test_the_scan_does_not_depend_on_its_blocks(
    document: tuple[bytes, list[list[str]]], pieces: int, block_bytes: int
) -> None:
    content, rows = document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        path.write_bytes(content)
        stream = open_stream(path)
        start = read_header(stream, Dialect(), (), "data.csv").start
        found = scan(stream, start, Dialect(), pieces=pieces, name="data.csv", block_bytes=block_bytes)
        stream.close()
    assert found.rows == sum(part.rows for part in found.slices) == len(rows)
    assert len(found.slices) <= pieces
    assert (found.slices[0].start, found.slices[-1].end) == (start, len(content))
    assert all(one.end == other.start for one, other in pairwise(found.slices))


@settings(max_examples=examples(150))
@given(documents(), st.integers(1, 3), st.integers(1, 80), st.data())
def test_a_read_resumes_after_any_row(
    document: tuple[bytes, list[list[str]]], partitions: int, chunk_bytes: int, data: st.DataObject
) -> None:
    content, _ = document
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_bytes(content)
        files = source(folder, chunk_bytes)
        found = files.discover(max_partitions=partitions)
        part = data.draw(st.sampled_from(found.partitions))
        batches = list(files.read(part, found.schema))
        assert sum(batch.rows for batch in batches) == part.rows
        for batch in batches:
            rest = list(files.read(part, found.schema, rows_done=batch.rows_done, position=batch.position))
            assert [n for b in rest for n in b.frame[ROW]] == list(
                range(part.first_row + batch.rows_done, part.first_row + part.rows)
            )
            assert not rest or rest[-1].rows_done == part.rows
        done = data.draw(st.integers(0, part.rows))
        rest = list(files.read(part, found.schema, rows_done=done))
        assert [n for b in rest for n in b.frame[ROW]] == list(range(part.first_row + done, part.first_row + part.rows))


@settings(max_examples=examples(150))
@given(
    st.integers(1, 60),
    st.dictionaries(
        st.integers(0, 59), st.sampled_from(["short", "long", "number", "day", "both", "bytes"]), max_size=12
    ),
    st.booleans(),
    st.integers(1, 3),
    st.integers(20, 600),
)
def test_exactly_the_corrupt_rows_are_rejected(
    count: int, corrupt: dict[int, str], quoted: bool, partitions: int, chunk_bytes: int
) -> None:
    mark = b'"' if quoted else b""
    broken = {
        "short": b"1,2024-01-01",
        "long": b"1,2024-01-01,x,y",
        "number": b"1x,2024-01-01,x",
        "day": b"1,2024-02-30,x",
        "both": b"one,today,x",
        "bytes": b"1,2024-01-01,\xff\xfe",
    }
    lines = [
        broken[corrupt[number]] if number in corrupt else b"%d,2024-01-01,%sa\xc3\xa9%s" % (number, mark, mark)
        for number in range(count)
    ]
    corrupt = {number: kind for number, kind in corrupt.items() if number < count}
    fields = (Field("n", "integer"), Field("day", "date"), Field("t", "text"))
    with tempfile.TemporaryDirectory() as folder:
        # one sound row in another alphabet in front: the file is UTF-8, a broken row in it is a broken row
        content = b"n,day,t\n0,2024-01-01,\xc3\xa9\n" + b"\n".join(lines) + b"\n"
        (Path(folder) / "data.csv").write_bytes(content)
        files = source(folder, chunk_bytes, fields)
        found = files.discover(max_partitions=partitions)
        batches = [batch for part in found.partitions for batch in files.read(part, found.schema)]
    frame = pl.concat([batch.frame for batch in batches])
    rejects = pl.concat([batch.rejects for batch in batches])
    assert set(rejects["row"]) == {number + 2 for number in corrupt}
    assert frame[ROW].to_list() == [1, *(number + 2 for number in range(count) if number not in corrupt)]
    assert frame["n"].to_list() == [0, *(number for number in range(count) if number not in corrupt)]
    rules = {"short": ["ragged"], "long": ["ragged"], "number": ["type"], "day": ["type"], "both": ["type"] * 2}
    for number, kind in corrupt.items():
        of_row = rejects.filter(pl.col("row") == number + 2)
        assert of_row["rule"].to_list() == rules.get(kind, ["encoding"])
    for batch in batches:
        assert batch.rows == batch.frame.height + batch.rejects["row"].n_unique()
