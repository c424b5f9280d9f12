"""Reads the records of one webhook in their order, and removes those that every pipeline has loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

_CONNECT_S = 5
_FREED_AT_ONCE = 10_000

_STATE = """
SELECT s.last_seq, s.freed_seq, s.bytes, s.last_received_at FROM headrace.connectors c
LEFT JOIN headrace.hook_spools s ON s.connector_id = c.id WHERE c.id = %(id)s AND c.tenant_id = %(tenant)s
"""

# The first record is always among them, however large it is.
_READ = """
WITH chosen AS (
    SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM (
        SELECT seq, size FROM headrace.hook_records
        WHERE connector_id = %(id)s AND seq > %(after)s AND seq <= %(up_to)s ORDER BY seq LIMIT %(most)s
    ) AS first
)
SELECT r.seq, (extract(epoch FROM r.received_at) * 1000000)::bigint, r.request_id, r.key, r.headers, r.body
FROM headrace.hook_records r JOIN chosen USING (seq)
WHERE r.connector_id = %(id)s AND before < %(bytes)s ORDER BY r.seq
"""

_ACKNOWLEDGE = """
INSERT INTO headrace.hook_readers AS r (connector_id, pipeline_id, node_id, seq)
SELECT s.connector_id, p.id, %(node)s, %(seq)s
FROM headrace.hook_spools s, headrace.pipelines p WHERE s.connector_id = %(id)s AND p.id = %(pipeline)s
ON CONFLICT (connector_id, pipeline_id, node_id) DO UPDATE SET seq = excluded.seq, updated_at = now()
"""

# A node that the live document of its pipeline no longer has, or that reads through another connector, does not count.
_LOADED = """
SELECT min(r.seq) FROM headrace.hook_readers r
JOIN headrace.connectors c ON c.id = r.connector_id
JOIN headrace.pipelines p ON p.id = r.pipeline_id
LEFT JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = p.id AND v.version = p.live_version
WHERE r.connector_id = %(id)s AND (v.ir IS NULL OR EXISTS (
    SELECT FROM jsonb_array_elements(v.ir -> 'nodes') AS n (value)
    WHERE n.value ->> 'kind' = 'source' AND n.value ->> 'id' = r.node_id
      AND CASE WHEN n.value ? 'connection' THEN n.value ->> 'connection' IN (c.id, c.name)
          ELSE p.connector_id = c.id END))
"""

# Under the lock, so that nothing is removed that a pipeline which begins now is about to read.
_REGISTER = """
INSERT INTO headrace.hook_readers AS r (connector_id, pipeline_id, node_id, seq)
SELECT %(id)s, p.id, %(node)s, %(seq)s FROM headrace.pipelines p WHERE p.id = %(pipeline)s
ON CONFLICT (connector_id, pipeline_id, node_id) DO UPDATE SET seq = least(r.seq, excluded.seq), updated_at = now()
"""

_LOCK = "SELECT freed_seq FROM headrace.hook_spools WHERE connector_id = %(id)s FOR UPDATE"
_FREE = """
WITH gone AS (
    DELETE FROM headrace.hook_records WHERE connector_id = %(id)s AND seq > %(freed)s AND seq <= %(seq)s RETURNING size
)
UPDATE headrace.hook_spools SET freed_seq = %(seq)s, bytes = bytes - (SELECT coalesce(sum(size), 0) FROM gone)
WHERE connector_id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class SpoolState:
    """Records after `freed`, up to `last`, are there; `size` in bytes."""

    last: int = 0
    freed: int = 0
    size: int = 0
    last_received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpooledRecords:
    """Consecutive records as columns: numbers, times in microseconds since 1970, and what came with each."""

    seqs: Sequence[int] = ()
    times: Sequence[int] = ()
    request_ids: Sequence[str] = ()
    keys: Sequence[str | None] = ()
    headers: Sequence[str | None] = ()
    bodies: Sequence[bytes] = ()


@dataclass(slots=True)
class SpoolReader:
    """The spool of one connector, as one source node of a pipeline reads it. It can be pickled until it is used;
    `url` (libpq) is the catalog's. All methods raise psycopg.Error."""

    url: str = field(repr=False)
    tenant_id: str
    connector_id: str
    pipeline_id: str = ""
    node_id: str = ""
    _connection: psycopg.Connection[Any] | None = field(default=None, init=False, repr=False)

    def state(self) -> SpoolState | None:
        """What is there; None where the tenant has no such connector."""
        values = {"id": self.connector_id, "tenant": self.tenant_id}
        found = self._open().execute(_STATE, values).fetchone()
        if found is None:
            return None
        return SpoolState() if found[0] is None else SpoolState(*found)

    def read(self, after: int, up_to: int, *, most: int, size: int) -> SpooledRecords:
        """At most `most` records, and about `size` bytes, of those after a number, up to another; none at the end."""
        values = {"id": self.connector_id, "after": after, "up_to": up_to, "most": most, "bytes": size}
        with self._open().cursor(binary=True) as cursor:
            rows = cursor.execute(_READ, values).fetchall()
        return SpooledRecords(*zip(*rows, strict=True)) if rows else SpooledRecords()

    def acknowledge(self, seq: int) -> None:
        """Stores that this node has loaded everything up to a number, and removes what all nodes have loaded that read
        the connector. Does nothing for a pipeline that is not in the catalog."""
        if not self.pipeline_id:
            return
        connection = self._open()
        mine = {"id": self.connector_id, "pipeline": self.pipeline_id, "node": self.node_id, "seq": seq}
        if not connection.execute(_ACKNOWLEDGE, mine).rowcount:
            return
        while self._free(connection):
            pass

    def register(self) -> None:
        """Stores that this node is about to read from the oldest record on, so that none of them is removed; nothing
        for what is no run of a pipeline."""
        if not self.pipeline_id:
            return
        connection = self._open()
        with connection.transaction():
            found = connection.execute(_LOCK, {"id": self.connector_id}).fetchone()
            if found is not None:
                mine = {"id": self.connector_id, "pipeline": self.pipeline_id, "node": self.node_id, "seq": found[0]}
                connection.execute(_REGISTER, mine)

    def _free(self, connection: psycopg.Connection[Any]) -> bool:
        """Removes some records; whether there are more. Those who add records wait meanwhile, so it is not all."""
        mine = {"id": self.connector_id}
        with connection.transaction():
            found = connection.execute(_LOCK, mine).fetchone()
            loaded = connection.execute(_LOADED, mine).fetchone()
            if found is None or loaded is None or loaded[0] is None or found[0] >= loaded[0]:
                return False
            freed, up_to = int(found[0]), int(loaded[0])
            seq = min(up_to, freed + _FREED_AT_ONCE)
            connection.execute(_FREE, mine | {"freed": freed, "seq": seq})
        return seq < up_to

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.url, autocommit=True, connect_timeout=_CONNECT_S, application_name="headrace webhook"
            )
        return self._connection
