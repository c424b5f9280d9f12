"""The rows of a COPY as pieces of text, whole rows each, with bounded memory.

The server sends each row in a message of its own (protocol 3.0, COPY operations), so that a piece is cut where a
message ends, whatever is in the row. The loop over the messages is libpq's only way to give them; they are put together
a few at a time, while they are in the processor's cache, which takes a quarter of the time that all at once take.
"""

from __future__ import annotations

import select
from collections.abc import Iterator

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.session import Session

PIECE_BYTES = 16 * 1024 * 1024
"""The size limit of a piece in bytes, unless a single row is larger."""

_TOGETHER = 128
_WAIT_MS = 60_000


def pieces(session: Session, statement: str, rows: int) -> Iterator[bytes]:
    """The text of at most `rows` rows each, in the text format of COPY. Raises SourceError."""
    session.begin_copy(f"COPY ({statement}) TO STDOUT")
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
                    joined.append(b"".join(few))
                    held += len(joined[-1])
                if size < 0:
                    more = False
                    break
                if size == 0:
                    poll.poll(_WAIT_MS)
                    consume()
        if count:
            yield _whole(joined)
    session.end_copy()


def _whole(parts: list[bytes]) -> bytes:
    text = b"".join(parts)
    if not text.endswith(b"\n"):
        raise SourceError("query_failed", "The server's rows do not end where its messages do.", "Is it PostgreSQL?")
    return text
