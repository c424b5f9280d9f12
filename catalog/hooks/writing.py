"""Stores what was sent to webhooks: many deliveries of one connector in one transaction.

The connector's row is locked while numbers are assigned, until the commit: a session that sees a record sees all those
with smaller numbers, so that a reader never skips one. A number is never given twice, and none is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

Result = Literal["stored", "repeated", "other_body", "full", "keys_full", "gone"]

_TIDIED_AT_ONCE = 20_000

# A 202 means that the record is on disk, whatever the default of the database is.
_LOCK = text("""
    SELECT last_seq, freed_seq, bytes, keys, CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END
    FROM headrace.hook_spools WHERE connector_id = :id FOR UPDATE
""")
_BEGIN = text("INSERT INTO headrace.hook_spools (connector_id) VALUES (:id) ON CONFLICT DO NOTHING")
_KNOWN = text("""
    SELECT key, digest, seq FROM headrace.hook_keys
    WHERE connector_id = :id AND key = ANY(CAST(:keys AS bytea[]))
      AND received_at > now() - make_interval(hours => :hours)
""")
_ADD = text("""
    INSERT INTO headrace.hook_records (connector_id, seq, received_at, request_id, key, headers, size, body)
    SELECT :id, seq, received_at, request_id, key, headers, octet_length(body), body FROM unnest(
        CAST(:seqs AS bigint[]), CAST(:times AS timestamptz[]), CAST(:requests AS text[]), CAST(:keys AS text[]),
        CAST(:headers AS text[]), CAST(:bodies AS bytea[])
    ) AS given (seq, received_at, request_id, key, headers, body)
""")
_ADD_KEYS = text("""
    INSERT INTO headrace.hook_keys AS k (connector_id, key, digest, seq, received_at)
    SELECT :id, key, digest, seq, received_at FROM unnest(
        CAST(:keys AS bytea[]), CAST(:digests AS bytea[]), CAST(:seqs AS bigint[]), CAST(:times AS timestamptz[])
    ) AS given (key, digest, seq, received_at)
    ON CONFLICT (connector_id, key) DO UPDATE
    SET digest = excluded.digest, seq = excluded.seq, received_at = excluded.received_at
    RETURNING (xmax = 0)
""")
_COUNT = text("""
    UPDATE headrace.hook_spools
    SET last_seq = :last, bytes = bytes + :size, keys = keys + :keys, last_received_at = :at WHERE connector_id = :id
""")
_TIDY = text("""
    WITH gone AS (
        DELETE FROM headrace.hook_keys WHERE connector_id = :id AND key IN (
            SELECT key FROM headrace.hook_keys
            WHERE connector_id = :id AND received_at < now() - make_interval(hours => :hours)
            ORDER BY received_at LIMIT :most)
        RETURNING 1)
    UPDATE headrace.hook_spools SET keys = keys - (SELECT count(*) FROM gone) WHERE connector_id = :id RETURNING keys
""")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request. `key` is its idempotency key, `key_hash` and `digest` the SHA-256 of the key and of the body;
    `headers` a JSON object."""

    request_id: str
    received_at: datetime
    body: bytes
    digest: bytes
    key: str | None = None
    key_hash: bytes | None = None
    headers: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery. `seq` is the number of its record, or of the one that came first with its key."""

    result: Result
    seq: int = 0


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """The most records and bytes that wait for a connector, the most idempotency keys, and for how long those are
    kept."""

    records: int
    bytes: int
    keys: int
    keep_hours: int


def store(
    engine: Engine, connector_id: str, deliveries: Sequence[Delivery], limits: SpoolLimits, *, tidy: bool = False
) -> list[Outcome]:
    """Stores deliveries in their order, as far as the limits allow; returns what became of each when it is committed.
    `tidy` removes keys that are older than the limit. Raises SQLAlchemy's errors: nothing is stored then."""
    try:
        with engine.begin() as connection:
            return _store(connection, connector_id, deliveries, limits, tidy=tidy)
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.ForeignKeyViolation):  # the connector was deleted meanwhile
            return [Outcome("gone")] * len(deliveries)
        raise


def _store(
    connection: Connection, connector_id: str, deliveries: Sequence[Delivery], limits: SpoolLimits, *, tidy: bool
) -> list[Outcome]:
    mine: dict[str, Any] = {"id": connector_id}
    spool = connection.execute(_LOCK, mine).one_or_none()
    if spool is None:
        connection.execute(_BEGIN, mine)
        spool = connection.execute(_LOCK, mine).one()
    last, size, keys = spool.last_seq, spool.bytes, spool.keys
    if tidy and keys:
        hours = {"hours": limits.keep_hours, "most": _TIDIED_AT_ONCE}
        keys = connection.execute(_TIDY, mine | hours).scalar_one()
    hashes = [each.key_hash for each in deliveries if each.key_hash is not None]
    asked = mine | {"keys": hashes, "hours": limits.keep_hours}
    known = (
        {bytes(key): (bytes(digest), seq) for key, digest, seq in connection.execute(_KNOWN, asked)} if hashes else {}
    )
    stored: list[tuple[int, Delivery]] = []
    outcomes: list[Outcome] = []
    for each in deliveries:
        before = known.get(each.key_hash) if each.key_hash is not None else None
        if before is not None:
            outcomes.append(Outcome("repeated" if before[0] == each.digest else "other_body", before[1]))
        elif last - spool.freed_seq >= limits.records or size + len(each.body) > limits.bytes:
            outcomes.append(Outcome("full"))
        elif each.key_hash is not None and keys >= limits.keys:
            outcomes.append(Outcome("keys_full"))
        else:
            last, size = last + 1, size + len(each.body)
            if each.key_hash is not None:
                known[each.key_hash], keys = (each.digest, last), keys + 1
            stored.append((last, each))
            outcomes.append(Outcome("stored", last))
    if stored:
        _add(connection, connector_id, stored)
    return outcomes


def _add(connection: Connection, connector_id: str, stored: Sequence[tuple[int, Delivery]]) -> None:
    mine: dict[str, Any] = {"id": connector_id}
    records = {
        "seqs": [seq for seq, _ in stored],
        "times": [each.received_at for _, each in stored],
        "requests": [each.request_id for _, each in stored],
        "keys": [each.key for _, each in stored],
        "headers": [each.headers for _, each in stored],
        "bodies": [each.body for _, each in stored],
    }
    connection.execute(_ADD, mine | records)
    keyed = [(seq, each) for seq, each in stored if each.key_hash is not None]
    new = 0
    if keyed:
        given = {
            "seqs": [seq for seq, _ in keyed],
            "times": [each.received_at for _, each in keyed],
            "keys": [each.key_hash for _, each in keyed],
            "digests": [each.digest for _, each in keyed],
        }
        new = sum(connection.execute(_ADD_KEYS, mine | given).scalars())
    counted = {"last": stored[-1][0], "size": sum(len(each.body) for _, each in stored), "keys": new}
    connection.execute(_COUNT, mine | counted | {"at": stored[-1][1].received_at})
