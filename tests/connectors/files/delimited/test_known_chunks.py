"""What a scan notes of chunks: reading by the notes finds what reading without them finds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited import parse, records
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.known_chunks import Sound, known_chunks
from headrace.connectors.files.delimited.parse import ChunkParser
from headrace.connectors.files.delimited.records import find_records, record_chunks
from headrace.connectors.files.delimited.scan import scan
from headrace.connectors.files.delimited.scanned_range import Slice
from headrace.connectors.files.delimited.structure import Marks, Structure
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.streams import ByteStream, open_stream
from headrace.connectors.source import ROW, Source, Wanted
from headrace.ir.schema import Field, Schema
from tests.effort import examples

DIALECT = Dialect()
SCHEMA = (Field("a", "text"), Field("b", "text"))
LINE = st.lists(st.sampled_from(["x", '"y"', '"p,q"', '"r\n"', '"s""t"', "", '""', 'w"', '"v']), min_size=1, max_size=3)
TEXT = st.lists(LINE.map(",".join), min_size=1, max_size=20).map(lambda lines: "\n".join(lines).encode())

Read = Iterable[tuple[int, bytes, Structure | Sound | None]]


def in_file(text: bytes, use: Callable[[ByteStream], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(text)
        stream = open_stream(Path(folder) / "a.csv")
        try:
            use(stream)
        finally:
            stream.close()


def parsed(chunks: Read, schema: Schema = SCHEMA) -> tuple[list[object], list[object], int]:
    parser, done = ChunkParser(DIALECT, ("a", "b"), schema), 0
    good: list[object] = []
    bad: list[object] = []
    for _, chunk, shape in chunks:
        found = parser.parse(chunk, done + 1, shape)
        some = found.frame.gather_every(2)
        assert parser.parse_rows(chunk, done + 1, some[ROW], shape).frame.rows() == some.rows()
        done += found.records
        good += found.frame.rows()
        bad += found.rejects.rows()
    return good, bad, done


def scanned(stream: ByteStream, pieces: int, block: int, chunk: int) -> list[Slice]:
    try:
        found = scan(stream, 0, DIALECT, pieces=pieces, name="a", columns=2, block_bytes=block, chunk_bytes=chunk)
    except SourceError:  # a quote in every record that is never closed
        return []
    return found.slices


@settings(max_examples=examples(400))
@given(TEXT, st.integers(1, 3), st.integers(1, 40), st.integers(1, 80), st.sampled_from([SCHEMA, SCHEMA[:1]]))
@example(b'"x",y\n"x"\n', 1, 80, 80, SCHEMA)
@example(b'"x","a,b",y\n"x"\n', 1, 80, 80, SCHEMA)  # one field too many and one too few
@example(b'x,y\n"x,y\n', 1, 80, 80, SCHEMA)
@example(b'"x",\n"x",\n', 1, 80, 80, SCHEMA[:1])
def test_notes_change_nothing(text: bytes, pieces: int, block: int, chunk: int, schema: Schema) -> None:
    def compare(stream: ByteStream) -> None:
        for each in scanned(stream, pieces, block, chunk):
            noted = json.loads(json.dumps(each.noted))
            assert sum(length for length, _, _ in noted) == each.end - each.start
            by_notes = known_chunks(stream, each.start, each.end, each.start, noted, DIALECT.marks, chunk)
            plain = record_chunks(stream, each.start, each.end, DIALECT.marks, chunk)
            one, other = parsed(by_notes, schema), parsed(plain, schema)
            assert one == other
            assert one[2] == each.rows

    in_file(text, compare)


@settings(max_examples=examples(200))
@given(TEXT, st.integers(1, 40), st.integers(1, 80))
def test_reading_goes_on_at_any_record(text: bytes, block: int, chunk: int) -> None:
    """Also within a noted chunk, as after a batch of an earlier release."""

    def compare(stream: ByteStream) -> None:
        for each in scanned(stream, 1, block, chunk):
            for position, _, _ in record_chunks(stream, each.start, each.end, DIALECT.marks, 7):
                rest = known_chunks(stream, each.start, each.end, position, each.noted, DIALECT.marks, chunk)
                plain = record_chunks(stream, position, each.end, DIALECT.marks, chunk)
                assert parsed(rest) == parsed(plain)

    in_file(text, compare)


def test_a_shorter_file_is_not_taken_for_the_noted_one() -> None:
    found: list[Slice] = []
    text = b'"x",y\n' * 100
    in_file(text, lambda stream: found.extend(scanned(stream, 1, 60, 120)))

    def read(stream: ByteStream) -> None:
        (one,) = found
        chunks = known_chunks(stream, one.start, one.end, one.start, one.noted, DIALECT.marks, 120)
        assert parsed(chunks)[2] == 50

    in_file(text[:300], read)


@pytest.mark.parametrize(("last", "wanted"), [("", None), ("x", Wanted(frozenset({"text"})))])
def test_sound_chunks_are_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, wanted: Wanted | None
) -> None:
    """Neither with missing values in the last column, nor if only some columns are wanted."""
    lines = ["id,text,last\n", *(f'{n},"a, {n}",{"x" if n % 2 else last}\n' for n in range(200_000))]
    (tmp_path / "a.csv").write_text("".join(lines))
    fields = (Field("id", "bigint"), Field("text", "text"), Field("last", "text"))
    source: Source = local_files({"path": "a.csv"}, fields=fields, files_root=tmp_path)
    found = source.discover(max_partitions=2)

    def only_of_headers(block: bytes, marks: Marks, *, final: bool, limit: int | None = None) -> Structure:
        assert len(block) < 100_000, "records were looked for again"
        return find_records(block, marks, final=final, limit=limit)

    for user in (parse, records):
        monkeypatch.setattr(user, "find_records", only_of_headers)
    batches = [batch for part in found.partitions for batch in source.read(part, fields, wanted=wanted)]
    assert pl.concat([batch.frame for batch in batches])["text"].to_list() == [f"a, {n}" for n in range(200_000)]
