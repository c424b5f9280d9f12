"""Records are found by the quoting rules of RFC 4180, wherever the text is cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.parse import ChunkParser
from headrace.connectors.files.delimited.records import find_records, record_chunks
from headrace.connectors.files.delimited.structure import Marks, places
from headrace.connectors.files.streams import open_stream
from headrace.connectors.source import ROW
from headrace.ir.schema import Field
from tests.effort import examples

MARKS = Marks(ord(","), ord('"'))
TEXT = st.text(alphabet=st.sampled_from('aab,,"""\n\n\r'), max_size=40).map(str.encode)


def slowly(text: bytes) -> list[tuple[bytes, bool]]:
    """The records and whether their quotes are sound, character by character."""
    found, begin = [], 0
    while begin < len(text):
        end, sound = record(text, begin)
        line = text[begin:end]
        if line not in (b"", b"\r"):
            found.append((line, sound))
        begin = end + 1
    return found


def record(text: bytes, begin: int) -> tuple[int, bool]:
    line_end = text.find(b"\n", begin) if b"\n" in text[begin:] else len(text)
    place, sound, at_start = begin, True, True
    while place < len(text) and text[place] != 10:
        char = text[place : place + 1]
        if char == b'"' and at_start:
            opened = place
            place += 1
            while place < len(text) and (text[place] != 34 or text[place + 1 : place + 2] == b'"'):
                place += 2 if text[place] == 34 else 1
            if place >= len(text):
                return line_end, False  # nothing closes it: its line alone is lost
            place += 1
            end_offset = text[place : place + 2]
            ends = end_offset[:1] in (b"", b",", b"\n") or end_offset in (b"\r\n", b"\r")
            if not ends:
                if b"\n" in text[opened:place]:
                    return line_end, False  # where it ends no field may: its first line alone is lost
                sound = False
            at_start = False
            continue
        sound &= char != b'"'
        at_start = char == b","
        place += 1
    return place, sound


@settings(max_examples=examples(600))
@given(TEXT)
@example(b'a,"b\\""\nc\n"d"\n')
@example(b'"a"b\n"c\nd"\n')
@example(b'"\n",""a')  # the second field is at fault, and both are of one record
def test_records_are_those_found_character_by_character(text: bytes) -> None:
    shape = find_records(text, MARKS, final=True)
    expected = slowly(text)
    assert shape.records == len(expected)
    ends = [*places(shape.ends, len(text)).tolist(), len(text)]
    lines, begin = [], 0
    for end in ends:
        if (line := text[begin:end]) not in (b"", b"\r"):
            faults = [*shape.stray.tolist(), *shape.unclosed.tolist()]
            lines.append((line, not any(begin <= fault < end for fault in faults)))
        begin = end + 1
    assert lines == expected


@settings(max_examples=examples(300))
@given(TEXT, st.integers(1, 30))
def test_chunks_and_the_parser_agree_wherever_the_text_is_cut(text: bytes, size: int) -> None:
    expected = slowly(text)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(text)
        stream = open_stream(Path(folder) / "a.csv")
        parser = ChunkParser(Dialect(), ("a", "b"), (Field("a", "text"), Field("b", "text")))
        done, good, bad = 0, [], []
        for _, chunk, shape in record_chunks(stream, 0, None, MARKS, size):
            parsed = parser.parse(chunk, done + 1, shape)
            assert parsed.records == (shape.records if shape else find_records(chunk, MARKS, final=True).records)
            done += parsed.records
            good += parsed.frame["__row"].to_list()
            bad += parsed.rejects["row"].unique().sort().to_list()
        stream.close()
    assert done == len(expected)
    assert sorted([*good, *bad]) == list(range(1, done + 1))
    assert not [row for row in good if not expected[row - 1][1]]


@settings(max_examples=examples(300))
@given(text=TEXT.filter(bool), chosen=st.sets(st.integers(0, 12)), quoted=st.booleans())
def test_chosen_records_are_parsed_as_among_all(text: bytes, chosen: set[int], quoted: bool) -> None:
    dialect = Dialect(delimiter=",", quote='"' if quoted else None)
    parser = ChunkParser(dialect, ("a", "b"), (Field("a", "text"), Field("b", "text")))
    shape = find_records(text, dialect.marks, final=True)
    whole = parser.parse(text, 5, shape)
    some = parser.parse_rows(text, 5, pl.Series(sorted(chosen), dtype=pl.Int64), shape if quoted else None)
    assert some.frame.rows() == whole.frame.filter(pl.col(ROW).is_in(chosen)).rows()
    assert some.rejects.rows() == whole.rejects.filter(pl.col("row").is_in(chosen)).rows()


def test_a_field_longer_than_the_limit_costs_one_line(tmp_path: Path) -> None:
    lines = [b'1,"open', *(b"%d,x" % row for row in range(2, 500)), b'500,"y"']
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    stream = open_stream(tmp_path / "a.csv")
    chunks = [*record_chunks(stream, 0, None, MARKS, 64, limit=256)]
    shapes = [shape or find_records(chunk, MARKS, final=True) for _, chunk, shape in chunks]
    assert sum(shape.records for shape in shapes) == 500
    assert sum(len(shape.unclosed) for shape in shapes) == 1
