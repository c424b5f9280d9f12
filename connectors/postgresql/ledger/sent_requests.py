"""The requests of loads into APIs, in the `_headrace` schema of the warehouse.

An API takes part in no transaction, so a request is recorded here before it is sent, and again when its answer is
known. A row in the state `sending` that an earlier attempt left is a request of which nobody knows whether the API took
it. When the ledger row of the batch commits, it counts the rows of its requests, and these rows are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg

from headrace.connectors.postgresql.ledger.partitions import LedgerKey

_LOCK = 0x4EAD_2AD4

_DDL = """
CREATE SCHEMA IF NOT EXISTS _headrace;
CREATE TABLE IF NOT EXISTS _headrace.sent_requests (
  load_key text NOT NULL,
  target_node text NOT NULL,
  stage integer NOT NULL,
  partition integer NOT NULL,
  number integer NOT NULL,
  request_id text NOT NULL,
  run_id text NOT NULL,
  state text NOT NULL DEFAULT 'sending' CHECK (state IN ('sending', 'answered')),
  row_numbers bigint[] NOT NULL,
  digests bigint[] NOT NULL,
  refused jsonb NOT NULL DEFAULT '{}',
  sent_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (load_key, target_node, stage, partition, number)
)
"""

_OF = "load_key = %s AND target_node = %s AND stage = %s AND partition = %s"

_READ = f"""
SELECT number, request_id, run_id, state, row_numbers, digests, refused
FROM _headrace.sent_requests WHERE {_OF} ORDER BY number
"""  # noqa: S608 - constants

_BEGIN = """
INSERT INTO _headrace.sent_requests
  (load_key, target_node, stage, partition, number, request_id, run_id, row_numbers, digests)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_MINE = f"SELECT request_id = %s FROM _headrace.sent_requests WHERE {_OF} AND number = %s"  # noqa: S608 - constants

_ANSWERED = f"""
UPDATE _headrace.sent_requests SET state = 'answered', refused = %s
WHERE {_OF} AND number = %s AND request_id = %s
"""  # noqa: S608 - constants

_FORGET = f"DELETE FROM _headrace.sent_requests WHERE {_OF} AND number = ANY(%s)"  # noqa: S608 - constants

State = Literal["sending", "answered"]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request: the numbers of its rows, and a digest of each record. `refused` are the messages of records that the
    API refused, by row number."""

    number: int
    request_id: str
    run_id: str
    state: State
    rows: Sequence[int]
    digests: Sequence[int]
    refused: dict[int, str] = field(default_factory=dict)


def create_sent_requests(connection: psycopg.Connection[Any]) -> None:
    """Creates the table, on an autocommit connection. Concurrent calls are safe."""
    if connection.execute("SELECT to_regclass('_headrace.sent_requests') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(_DDL)


def read_requests(connection: psycopg.Connection[Any], key: LedgerKey) -> list[SentRequest]:
    """The requests of a partition that its ledger row does not count yet, in the order of their numbers."""
    return [
        SentRequest(number, request_id, run_id, state, rows, digests, {int(row): text for row, text in refused.items()})
        for number, request_id, run_id, state, rows, digests, refused in connection.execute(_READ, _of(key))
    ]


def begin_request(connection: psycopg.Connection[Any], key: LedgerKey, request: SentRequest) -> bool:
    """Records a request that is about to be sent, in the caller's transaction; False when another process has recorded
    one with this number."""
    values = (request.number, request.request_id, request.run_id, [*request.rows], [*request.digests])
    if connection.execute(_BEGIN, (*_of(key), *values)).rowcount == 1:
        return True
    mine = connection.execute(_MINE, (request.request_id, *_of(key), request.number)).fetchone()
    return mine == (True,)  # a commit whose answer was lost


def record_answer(
    connection: psycopg.Connection[Any], key: LedgerKey, request: SentRequest, refused: dict[int, str]
) -> None:
    """Records that the API took the request, but for the refused rows, in the caller's transaction."""
    text = json.dumps({str(row): message.replace("\x00", "") for row, message in refused.items()})
    connection.execute(_ANSWERED, (text, *_of(key), request.number, request.request_id))


def forget_requests(connection: psycopg.Connection[Any], key: LedgerKey, numbers: Collection[int]) -> None:
    """Deletes requests in the caller's transaction: because the API refused them as a whole, or the ledger counts their
    rows."""
    connection.execute(_FORGET, (*_of(key), [*numbers]))


def settling(key: LedgerKey, request: SentRequest) -> str:
    """The SQL by which a person says that the API has taken a request."""
    values = [*_of(key), request.number]
    names = ("load_key", "target_node", "stage", "partition", "number")
    where = " AND ".join(
        psycopg.sql.SQL("{} = {}").format(psycopg.sql.Identifier(name), psycopg.sql.Literal(value)).as_string()
        for name, value in zip(names, values, strict=True)
    )
    return f"UPDATE _headrace.sent_requests SET state = 'answered' WHERE {where};"  # noqa: S608 - for people


def _of(key: LedgerKey) -> tuple[str, str, int, int]:
    return (key.root_run_id, key.target_node, key.stage, key.partition)
