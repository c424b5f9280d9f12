"""The open connections of a server: their number, their time-outs, and which one is closed when there are too many.

A connection waits for a request's head, is busy with a request, or drains (the client does not read the response).
Waiting costs a client nothing, so waiting connections do not keep others out: when the limit is reached, a new
connection replaces the one that has waited longest. Clients that send their heads byte by byte cannot block others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of connections: their number, in total and per address (0: no limit), and time-outs in seconds.

    `head_s`: from the first byte of a request's head, or the opening of the connection, to the head's end. `idle_s`:
    between two requests. `write_s`: for a client to read `MIN_READ_BYTES` of a response.
    """

    most: int = 1000
    per_address: int = 0
    head_s: float = 10.0
    idle_s: float = 15.0
    write_s: float = 30.0

    @property
    def poll_s(self) -> float:
        """Interval in seconds between checks of all connections."""
        return min(1.0, min(self.head_s, self.idle_s, self.write_s) / 4)


MIN_READ_BYTES = 16 * 1024
"""A client that has at least this much to read and reads less within `Bounds.write_s` is disconnected."""


class Connection(Protocol):
    """What Connections needs of a connection."""

    @property
    def address(self) -> str: ...

    @property
    def unsent(self) -> int:
        """Bytes written to the transport and not yet sent."""
        ...

    def abort(self) -> None:
        """Closes it at once and discards unsent bytes."""
        ...

    def expire(self) -> None:
        """Closes it after a time-out: with 408 if part of a head has come, else without a response."""
        ...


@dataclass(slots=True)
class _ConnectionState:
    waits_since: float | None
    """Loop time; None while it is busy with a request."""
    begun: bool
    """Part of a head has come, or the connection is new; `head_s` applies, else `idle_s`."""
    unsent: int = 0
    unsent_since: float | None = None


class Connections:
    """All connections of one server, for use in its event loop only. `refused` gets the reason of each forced close."""

    def __init__(
        self, bounds: ConnectionLimits, *, refused: Callable[[str], None], trusted: Callable[[str], bool]
    ) -> None:
        self.bounds = bounds
        self.refused, self._trusted = refused, trusted
        self._kept: dict[Connection, _ConnectionState] = {}
        self._waiting: dict[Connection, None] = {}  # longest wait first
        self._by_address: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def enter(self, connection: Connection, now: float) -> bool:
        """Adds a new connection, closing a waiting one if needed. False if the limit is reached and none waits."""
        own = self._by_address.get(connection.address, {})
        limit = 0 if self._trusted(connection.address) else self.bounds.per_address
        if limit and len(own) >= limit and not self._evict(own):
            return False
        if len(self._kept) >= self.bounds.most and not self._evict(self._waiting):
            return False
        self._kept[connection] = _ConnectionState(now, begun=True)
        self._waiting[connection] = None
        self._by_address.setdefault(connection.address, {})[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """Removes a closed connection."""
        if self._kept.pop(connection, None) is None:
            return
        self._waiting.pop(connection, None)
        own = self._by_address[connection.address]
        own.pop(connection, None)
        if not own:
            del self._by_address[connection.address]

    def busy(self, connection: Connection) -> None:
        """Notes that it has a request in progress."""
        if connection in self._kept:
            self._kept[connection].waits_since = None
            self._waiting.pop(connection, None)

    def waits(self, connection: Connection, now: float, *, begun: bool) -> None:
        """Notes that it waits for a head, `begun` if part has come. Repeated calls do not restart the time-out."""
        kept = self._kept.get(connection)
        if kept is None or (kept.waits_since is not None and (kept.begun or not begun)):
            return
        kept.waits_since, kept.begun = now, begun
        self._waiting.setdefault(connection)

    async def watch(self) -> None:
        """Calls `look` periodically, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.bounds.poll_s)
            self.look(loop.time())

    def look(self, now: float) -> None:
        """Closes connections whose time-outs have passed at `now`."""
        for connection, kept in list(self._kept.items()):
            if self._stuck(connection, kept, now):
                self.refused("slow_reader")
                connection.abort()
            elif kept.waits_since is not None and now - kept.waits_since > self._patience(kept):
                kept.waits_since = None  # expire once; the write time-out covers a 408 that is not read
                connection.expire()

    def _patience(self, kept: _ConnectionState) -> float:
        return self.bounds.head_s if kept.begun else self.bounds.idle_s

    def _stuck(self, connection: Connection, kept: _ConnectionState, now: float) -> bool:
        unsent = connection.unsent
        if not unsent:
            kept.unsent, kept.unsent_since = 0, None
            return False
        if kept.unsent_since is None or unsent <= kept.unsent - MIN_READ_BYTES:
            kept.unsent, kept.unsent_since = unsent, now
        kept.unsent = max(kept.unsent, unsent)
        return now - kept.unsent_since > self.bounds.write_s

    def _evict(self, among: Iterable[Connection]) -> bool:
        waiting = [each for each in among if each in self._waiting]
        if not waiting:
            return False
        longest = next((each for each in waiting if not each.unsent), waiting[0])
        self.refused("made_room")
        self.leave(longest)
        longest.abort()
        return True
