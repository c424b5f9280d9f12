"""The interface of the spool in which the API keeps the records of one webhook until they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class SpoolState(Protocol):
    """Records have the numbers 1, 2, 3, … without gaps. Those after `freed`, up to `last`, are there, with `size`
    bytes in all."""

    @property
    def last(self) -> int: ...

    @property
    def freed(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def last_received_at(self) -> datetime | None: ...


class SpooledRecords(Protocol):
    """Consecutive records as columns of equal length. `times` are microseconds since 1970; `headers` are JSON objects
    of the headers that the connector keeps."""

    @property
    def seqs(self) -> Sequence[int]: ...

    @property
    def times(self) -> Sequence[int]: ...

    @property
    def request_ids(self) -> Sequence[str]: ...

    @property
    def keys(self) -> Sequence[str | None]: ...

    @property
    def headers(self) -> Sequence[str | None]: ...

    @property
    def bodies(self) -> Sequence[bytes]: ...


class Spool(Protocol):
    """The spool as one source node of a pipeline reads it. It survives pickling until it is used; all methods raise
    psycopg.Error."""

    def state(self) -> SpoolState | None:
        """What is there; None where there is no such connector."""

    def register(self) -> None:
        """Called before the first read of a pipeline: from now on nothing is removed that it has not loaded."""

    def read(self, after: int, up_to: int, *, most: int, size: int) -> SpooledRecords:
        """At most `most` records, and about `size` bytes, of those after a number, up to another; none at the end."""

    def acknowledge(self, seq: int) -> None:
        """The pipeline has loaded everything up to a number."""

    def close(self) -> None:
        """Closes the connection, if there is one."""
