"""A scan finds the same whether it looks at a file in one go or in several places at once."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.scan import Scan, scan
from headrace.connectors.files.streams import open_stream
from tests.effort import examples

PARTS = [b"a", b"b,c", b"\n", b"\r\n", b'"', b'"x"', b'"x\ny"', b'"x""y"', b",", b"\n\n", "ä".encode(), b"\xff"]
RECORDS = [b"1,2\n", b'"a\nb",2\n', b'"a""b","\n\n"\n', "ä,ö\n".encode()]
CONTENT = st.lists(st.sampled_from(PARTS), max_size=60).map(b"".join)
SOUND = st.lists(st.sampled_from(RECORDS), max_size=60).map(b"".join)


def scanned(path: Path, pieces: int, block: int, range_bytes: int, *, sampled: bool = False) -> Scan | str:
    stream = open_stream(path)
    try:
        return scan(
            stream,
            0,
            Dialect(),
            pieces=pieces,
            name="a.csv",
            columns=2,
            sampled=sampled,
            block_bytes=block,
            chunk_bytes=block * 2,
            range_bytes=range_bytes,
        )
    except SourceError as error:
        return str(error)
    finally:
        stream.close()


def cuts(found: Scan) -> list[tuple[int, int]]:
    """Where the slices end, and the rows up to there."""
    rows = accumulate(each.rows for each in found.slices)
    return list(zip([each.end for each in found.slices], rows, strict=True))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scan") / "a.csv"


@settings(max_examples=examples(400))
@given(CONTENT | SOUND, st.integers(1, 6), st.integers(1, 40))
@example(b'a,"b\nc,d\ne,f\n', 3, 100)
@example(b'a,b\n"c\nd",e\nf,g\n', 3, 100)
@example(b"\n\n\n\n\na,b\n", 4, 3)
@example(b"a,b\n\n\n\n\n\n\n\n", 4, 3)
def test_in_several_places_at_once_as_in_one_go(path: Path, content: bytes, pieces: int, block: int) -> None:
    path.write_bytes(content)
    whole, parts = scanned(path, pieces, block, 1 << 30), scanned(path, pieces, block, 1)
    if isinstance(whole, str) or isinstance(parts, str):
        assert whole == parts
        return
    assert parts.rows == whole.rows == sum(each.rows for each in parts.slices)
    assert len(parts.slices) <= pieces
    assert (parts.slices[0].start, parts.slices[-1].end) == (0, len(content))
    every = scanned(path, len(content), block, 1 << 30)
    assert isinstance(every, Scan)
    records = [
        (0, 0),
        *zip([each.end for each in every.slices], accumulate(each.rows for each in every.slices), strict=True),
    ]
    for one, other in pairwise(parts.slices):
        assert one.end == other.start
    for end, rows in zip(
        [each.end for each in parts.slices], accumulate(each.rows for each in parts.slices), strict=True
    ):
        before, count = records[bisect_right(records, end, key=itemgetter(0)) - 1]
        assert rows == count
        assert not content[before:end].strip(b"\r\n")  # blank lines


def test_samples_are_whole_records_of_every_place(path: Path) -> None:
    lines = [f'{number},"{number}\n{number}"\n'.encode() for number in range(200_000)]
    path.write_bytes(b"".join(lines))
    found = scanned(path, 4, 1 << 16, 1 << 18, sampled=True)
    assert not isinstance(found, str)
    assert found.rows == 200_000
    assert len(found.slices) == 4
    known = set(lines)
    first = [b"".join(sample.splitlines(keepends=True)[:2]) for sample in found.samples]
    assert len(first) >= 12
    assert set(first) <= known
