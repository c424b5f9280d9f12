"""The rows of a COPY as pieces, whole rows each, with bounded memory.

The server sends each row in a message of its own (protocol 3.0, COPY operations), so that a piece is cut where a
message ends, whatever is in the row. The loop over the messages is libpq's only way to give them; they are put together
a few at a time, while they are in the processor's cache, which takes a quarter of the time that all at once take.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.session import Session

PIECE_BYTES = 16 * 1024 * 1024
"""The size limit of a piece in bytes, unless a single row is larger."""

_TOGETHER = 128
_WAIT_MS = 60_000
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


def pieces(session: Session, statement: str, rows: int) -> Iterator[bytes]:
    """The text of at most `rows` rows each, in the text format of COPY. Raises SourceError."""
    for joined, _ in _messages(session, f"COPY ({statement}) TO STDOUT", rows, lambda few: None):
        yield _whole(joined)


class Rows(NamedTuple):
    """Rows in COPY's binary format, without its header and its end: the bytes of all, the size of each, and where each
    ends (Int64)."""

    bytes: np.ndarray[Any, np.dtype[np.uint8]]
    sizes: np.ndarray[Any, np.dtype[np.int64]]
    ends: np.ndarray[Any, np.dtype[np.int64]]


def binary_rows(session: Session, statement: str, rows: int) -> Iterator[Rows]:
    """The rows of a statement as they are, about `rows` at a time. Raises SourceError."""
    measured: list[np.ndarray[Any, np.dtype[np.int64]]] = []

    def measure(few: Sequence[memoryview | bytes]) -> None:
        measured.append(np.fromiter(map(len, few), np.int64, len(few)))

    begun = False
    for joined, _ in _messages(session, f"COPY ({statement}) TO STDOUT (FORMAT binary)", rows, measure):
        content, sizes = np.frombuffer(b"".join(joined), np.uint8), np.concatenate(measured)
        measured.clear()
        if not begun:  # the header comes with the first row
            if content[: len(_HEADER)].tobytes() != _HEADER:
                raise _not_postgresql()
            content, begun = content[len(_HEADER) :], True
            sizes[0] -= len(_HEADER)
            sizes = sizes if sizes[0] else sizes[1:]
        if sizes.size and sizes[-1] == len(_END) and content[-len(_END) :].tobytes() == _END:
            content, sizes = content[: -len(_END)], sizes[:-1]
        if sizes.size:
            yield Rows(content, sizes, np.cumsum(sizes))


def _messages(
    session: Session, statement: str, rows: int, measure: Callable[[Sequence[memoryview | bytes]], None]
) -> Iterator[tuple[list[bytes], int]]:
    """At most `rows` messages of a COPY each, put together, and how many they are. `measure` is shown each of them."""
    session.begin_copy(statement)
    poll = select.poll()
    poll.register(session.pgconn.socket, select.POLLIN)
    next_row, consume = session.pgconn.get_copy_data, session.pgconn.consume_input
    more = True
    while more:
        joined: list[bytes] = []
        count = held = 0
        with session.translating_errors():
            while count < rows and held < PIECE_BYTES:
                few: list[memoryview | bytes] = []
                keep = few.append
                for _ in range(min(_TOGETHER, rows - count)):
                    size, row = next_row(1)
                    if size <= 0:
                        break
                    keep(row)
                count += len(few)
                if few:
                    measure(few)
                    joined.append(b"".join(few))
                    held += len(joined[-1])
                if size < 0:
                    more = False
                    break
                if size == 0:
                    poll.poll(_WAIT_MS)
                    consume()
        if count:
            yield joined, count
    session.end_copy()


def _whole(parts: list[bytes]) -> bytes:
    text = b"".join(parts)
    if not text.endswith(b"\n"):
        raise _not_postgresql()
    return text


def _not_postgresql() -> SourceError:
    return SourceError("query_failed", "The server's rows do not end where its messages do.", "Is it PostgreSQL?")
