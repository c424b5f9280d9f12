"""The store of replications' runs, written by a running flow. Writes can be repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.replications.records import (
    UNSUCCESSFUL,
    ReplicationRecord,
    ReplicationRunSnapshot,
    TableStatus,
)
from headrace.catalog.replications.snapshot import read_replication_run
from headrace.catalog.runs.records import ConnectorRecord, RunStatus
from headrace.catalog.security.credentials import Keyring
from headrace.catalog.settings import settings

_MAX_MESSAGE_CHARS = 2000


class ReplicationMissing(LookupError):
    """The tenant has no such replication."""


class ReplicationRunStore:
    """Runs by id. There is no tenant filter: callers use ids from Headrace itself, never from users. `keyring` decrypts
    the connector's credentials, by default that of the settings."""

    def __init__(self, engine: Engine, *, keyring: Keyring | None = None) -> None:
        self._engine = engine
        self._keyring = keyring

    def load(self, replication_id: str, tenant_id: str) -> ReplicationRecord:
        """Reads the replication. Raises ReplicationMissing, CredentialsUnreadable."""
        with self._engine.connect() as connection:
            found = connection.execute(_LOAD, {"id": replication_id, "tenant": tenant_id}).one_or_none()
        if found is None:
            raise ReplicationMissing(f"There is no replication {replication_id}")
        connector = ConnectorRecord(found.connector_id, found.type, found.config)
        if found.auth_sealed is not None:
            keyring = self._keyring or settings().keyring
            connector = replace(
                connector, credentials=keyring.unseal(found.auth_sealed, connector_id=found.connector_id)
            )
        return ReplicationRecord(found.id, found.tenant_id, found.name, found.version, found.document, connector)

    def open(
        self,
        run_id: str,
        *,
        replication_id: str,
        tenant_id: str,
        version: int,
        retry_of: str | None,
        created_at: datetime | None = None,
        begins: bool = False,
    ) -> None:
        """Creates the run: by the caller that starts it, and by the flow when it `begins`; either may come first. A
        retry copies the tables that were not copied in the run that it retries."""
        values = {
            "id": run_id,
            "tenant": tenant_id,
            "replication": replication_id,
            "version": version,
            "retry_of": retry_of,
            "created_at": created_at,
            "unsuccessful": list(UNSUCCESSFUL),
        }
        with self._engine.begin() as connection:
            connection.execute(_OPEN, values)
            if begins:
                connection.execute(_BEGIN, values)

    def snapshot(self, run_id: str) -> ReplicationRunSnapshot | None:
        """Reads the run; None for an unknown one."""
        with Session(self._engine) as session:
            return read_replication_run(session, run_id)

    def found(self, run_id: str, tables: Sequence[dict[str, Any]]) -> None:
        """Stores what the source has; the API makes the pipelines of it."""
        with self._engine.begin() as connection:
            connection.execute(_FOUND, {"id": run_id, "found": json.dumps(list(tables))})

    def touch(self, run_id: str) -> None:
        """Notes that the run is alive."""
        with self._engine.begin() as connection:
            connection.execute(_TOUCH, {"id": run_id})

    def table_started(self, run_id: str, name: str, child_run_id: str) -> None:
        """Notes the run of a table's pipeline."""
        with self._engine.begin() as connection:
            connection.execute(_TABLE_STARTED, {"run": run_id, "name": name, "child": child_run_id})

    def table_ended(self, run_id: str, name: str, status: TableStatus, message: str | None) -> None:
        """Notes how a table ended."""
        said = None if message is None else message[:_MAX_MESSAGE_CHARS]
        with self._engine.begin() as connection:
            connection.execute(_TABLE_ENDED, {"run": run_id, "name": name, "status": status, "message": said})

    def finished(self, run_id: str, *, status: RunStatus, failure_reason: str | None) -> bool:
        """Ends the run, and tables that have not ended; False if it had ended already."""
        said = None if failure_reason is None else failure_reason[:_MAX_MESSAGE_CHARS]
        with self._engine.begin() as connection:
            ended = connection.execute(_FINISHED, {"id": run_id, "status": status, "reason": said}).one_or_none()
            if ended is None:
                return False
            connection.execute(_TABLES_CANCELLED, {"run": run_id})
            connection.execute(_LAST_RUN, {"id": ended.replication_id, "status": status})
            return True


_LOAD = text("""
    SELECT r.id, r.tenant_id, r.name, r.version, r.document, c.id AS connector_id, c.type, c.config, c.auth_sealed
    FROM headrace.replications r JOIN headrace.connectors c ON c.id = r.connector_id
    WHERE r.id = :id AND r.tenant_id = :tenant
""")

_OPEN = text("""
    INSERT INTO headrace.replication_runs AS run
        (id, tenant_id, replication_id, version, retry_of, only_tables, status, phase, created_at)
    SELECT :id, :tenant, :replication, :version, CAST(:retry_of AS text), coalesce(
               (SELECT nullif(coalesce(jsonb_agg(t.name ORDER BY t.name), '[]'), '[]')
                FROM headrace.replication_run_tables t
                WHERE t.run_id = CAST(:retry_of AS text) AND t.status = ANY (CAST(:unsuccessful AS text[]))),
               (SELECT r.only_tables FROM headrace.replication_runs r WHERE r.id = CAST(:retry_of AS text))),
           'pending', 'discovering', coalesce(CAST(:created_at AS timestamptz), now())
    ON CONFLICT (id) DO UPDATE SET created_at = least(run.created_at, excluded.created_at)
""")

_BEGIN = text("""
    UPDATE headrace.replication_runs
    SET status = 'running', phase = CASE WHEN phase = 'ended' THEN 'discovering' ELSE phase END,
        started_at = coalesce(started_at, now()), finished_at = NULL, failure_reason = NULL, touched_at = now()
    WHERE id = :id
""")

_FOUND = text("""
    UPDATE headrace.replication_runs SET phase = 'found', found = CAST(:found AS jsonb), touched_at = now()
    WHERE id = :id AND phase = 'discovering'
""")

_TOUCH = text("UPDATE headrace.replication_runs SET touched_at = now() WHERE id = :id")

_TABLE_STARTED = text("""
    UPDATE headrace.replication_run_tables
    SET status = 'running', child_run_id = :child, started_at = coalesce(started_at, now())
    WHERE run_id = :run AND name = :name
""")

_TABLE_ENDED = text("""
    UPDATE headrace.replication_run_tables SET status = :status, message = :message, finished_at = now()
    WHERE run_id = :run AND name = :name
""")

_FINISHED = text("""
    UPDATE headrace.replication_runs
    SET status = :status, failure_reason = :reason, phase = 'ended', finished_at = now(), touched_at = now()
    WHERE id = :id AND status IN ('pending', 'running')
    RETURNING replication_id
""")

_TABLES_CANCELLED = text("""
    UPDATE headrace.replication_run_tables SET status = 'cancelled', finished_at = now()
    WHERE run_id = :run AND status IN ('waiting', 'running')
""")

_LAST_RUN = text("""
    UPDATE headrace.replications SET last_run_at = now(), last_run_status = :status WHERE id = :id
""")
