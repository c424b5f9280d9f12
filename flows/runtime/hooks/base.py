"""What a hook is told, and what it may use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from connectors.egress import Network
from connectors.postgresql.hooks import HookDatabase

Event = Literal["pre_load", "post_load"]


@dataclass(frozen=True, slots=True)
class LoadedRows:
    """The rows of one target: read from its source, loaded into its table, failed and skipped on the way."""

    read: int
    loaded: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class HookContext:
    """What a custom function is called with.

    `table` is the target's table; `loading` the one that holds the new rows now: the same, but for a blue_green load
    before its swap. `rows` are known once they are loaded and visible. `idempotency_key` is the same when the hook is
    repeated, which happens when a run dies between the hook's end and its note.
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
    database_url: str
    idempotency_key: str
    timeout_s: int
    rows: LoadedRows | None = None


@dataclass(frozen=True, slots=True)
class HookMeans:
    """What the runners use: the database, the tables that are the tenant's, the credentials of the pipeline's connector
    (never logged) and the networks besides the public internet that may be dialled."""

    database: HookDatabase
    tables: Collection[str]
    credentials: Mapping[str, Any]
    networks: Sequence[Network]


class HookError(Exception):
    """A hook failed; the text says why, for a person."""


class HookRunner(Protocol):
    """Runs one hook of its type; gives a remark for the log. Raises HookError or TargetError."""

    def __call__(self, hook: Any, context: HookContext, means: HookMeans) -> str: ...
