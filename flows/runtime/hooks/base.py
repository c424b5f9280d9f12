"""The arguments of hooks and of their runners."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import psycopg

from headrace.connectors.network.egress import Network
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.hooks import HookDatabase

Event = Literal["pre_load", "post_load"]


@dataclass(frozen=True, slots=True)
class LoadedRows:
    """The row counts of one target: read from its source, loaded into its table, failed and skipped in between."""

    read: int
    loaded: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class HookContext:
    """The argument of a custom function.

    `table` is the target's table. `loading` is the table with the new rows: the same, except in a blue_green load
    before its swap. `database_url` is empty for a target in the database of a connector; `connect` serves both. `rows`
    is set once the rows are loaded and visible. `idempotency_key` is the same when the hook is
    repeated, which happens when a run dies after the hook's end and before that is recorded.
    """

    event: Event
    run_id: str
    root_run_id: str
    pipeline_id: str
    tenant_id: str
    ir_version: int
    target_node: str
    table: str
    loading: str
    load_mode: str
    database_url: str = field(repr=False)
    idempotency_key: str
    timeout_s: int
    rows: LoadedRows | None = None
    database: Database | None = field(default=None, repr=False)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection to the target's database, with the options of psycopg.connect. Raises psycopg.Error,
        TargetError."""
        return connect(self.database_url if self.database is None else self.database, **options)


@dataclass(frozen=True, slots=True)
class HookMeans:
    """Resources of the runners: the target's database, the tables that statements may name (None: those that the login
    may use, in the database of a connector), the webhook secrets of the pipeline's connector
    (never logged), and the networks besides the public internet to which connections are allowed."""

    database: HookDatabase
    tables: Collection[str] | None
    credentials: Mapping[str, Any] = field(repr=False)
    networks: Sequence[Network]


class HookError(Exception):
    """A hook failed. The text is the reason, shown to users."""


class HookRunner(Protocol):
    """Runs one hook of its type and returns a remark for the log. Raises HookError or TargetError."""

    def __call__(self, hook: Any, context: HookContext, means: HookMeans) -> str: ...
