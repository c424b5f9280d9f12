"""The columns that were last found in a pipeline's sources: written by runs, plans and discovery, read when a document
is saved, and compared with those of the last run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

from headrace.catalog.models import FoundColumns
from headrace.ir.schema import Field, Schema

_KEPT = 10
"""So many configs of a node are remembered."""

_REMEMBER = text("""
    INSERT INTO headrace.found_columns AS f (pipeline_id, node_id, source_key, columns, found_at, found_by)
    SELECT id, :node, :key, CAST(:columns AS jsonb), clock_timestamp(), :by FROM headrace.pipelines WHERE id = :pipeline
    ON CONFLICT (pipeline_id, node_id, source_key) DO UPDATE
    SET columns = excluded.columns, found_at = excluded.found_at, found_by = excluded.found_by
""")

_FORGET = text("""
    DELETE FROM headrace.found_columns WHERE pipeline_id = :pipeline AND node_id = :node AND source_key NOT IN (
        SELECT source_key FROM headrace.found_columns WHERE pipeline_id = :pipeline AND node_id = :node
        ORDER BY found_at DESC LIMIT :kept)
""")

_RAN = text("""
    UPDATE headrace.found_columns SET run_columns = columns, run_id = :run, run_at = clock_timestamp()
    WHERE pipeline_id = :pipeline AND node_id = :node AND source_key = :key AND found_by = :run
""")

_READING = text("""
    SELECT p.id, n.value FROM headrace.pipelines p
    JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = p.id AND (v.version = p.live_version OR v.version = (
        SELECT max(w.version) FROM headrace.pipeline_ir_versions w WHERE w.pipeline_id = p.id))
    CROSS JOIN LATERAL jsonb_array_elements(v.ir -> 'nodes') AS n (value)
    WHERE p.tenant_id = :tenant AND n.value ->> 'kind' = 'source' AND (:declared OR NOT n.value ? 'fields')
      AND n.value -> 'config' = ANY (CAST(:configs AS jsonb[]))
      AND CASE WHEN n.value ? 'connection' THEN n.value ->> 'connection' IN (:id, :name)
          ELSE p.connector_id = :id END
""")


class Connected(Protocol):
    """A connector's record."""

    @property
    def id(self) -> str: ...

    @property
    def config(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class FoundSource:
    """The columns found in a source. `guessed` are text columns with types inferred from samples; `by` is a run's id,
    `plan`, `preview` or `discover`."""

    columns: Schema
    guessed: frozenset[str]
    at: datetime
    by: str
    run_columns: Schema | None = None
    """Those that the run `run_id` was planned with, the last one."""
    run_id: str | None = None
    run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column that is new (`before` is None), gone (`after` is None), or of another type."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} ({self.after}) is new"
        return f"{self.name} is gone" if self.after is None else f"{self.name} is {self.after}, was {self.before}"


@dataclass(frozen=True, slots=True)
class Seen:
    """The columns of a source at this moment."""

    node: str
    key: str
    columns: Schema
    guessed: frozenset[str] = field(default=frozenset())

    def as_json(self) -> str:
        """The columns as stored JSON."""
        return json.dumps(
            [asdict(each) | ({"guessed": True} if each.name in self.guessed else {}) for each in self.columns]
        )


def source_key(node: Mapping[str, Any], connection: Connected) -> str:
    """The key of a source node's columns: its connector and config. Parameters are not filled in."""
    parts = [
        node.get("connector"),
        connection.id,
        connection.config,
        node.get("config") or {},
        node.get("fields") or [],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def type_name(column: Field) -> str:
    """The type of a column for people: `decimal(12, 2)`."""
    size = [str(part) for part in (column.precision, column.scale) if part is not None]
    return column.data_type + (f"({', '.join(size)})" if size else "")


def column_changes(before: Schema, after: Schema) -> list[ColumnChange]:
    """The differences between the columns of a source at two moments; their order does not count."""
    old, new = ({each.name: type_name(each) for each in some} for some in (before, after))
    return [
        ColumnChange(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)
    ]


def remember(session: Session | Connection, pipeline_id: str, seen: Iterable[Seen], by: str) -> None:
    """Stores what was found, in the caller's transaction; nothing of a pipeline that was deleted."""
    for each in seen:
        values = {"pipeline": pipeline_id, "node": each.node, "key": each.key}
        session.execute(_REMEMBER, {**values, "columns": each.as_json(), "by": by})
        session.execute(_FORGET, {"pipeline": pipeline_id, "node": each.node, "kept": _KEPT})


def known(session: Session | Connection, pipeline_id: str, keys: Mapping[str, str]) -> dict[str, FoundSource]:
    """The known columns of source nodes (by id), by their keys."""
    if not keys:
        return {}
    query = select(*FoundColumns.__table__.columns).where(FoundColumns.pipeline_id == pipeline_id)
    rows = session.execute(query.where(FoundColumns.source_key.in_(sorted(set(keys.values())))))
    found: dict[str, FoundSource] = {}
    for row in rows:
        if keys.get(row.node_id) == row.source_key:
            guessed = frozenset(each["name"] for each in row.columns if each.get("guessed"))
            before = None if row.run_columns is None else _columns(row.run_columns)
            found[row.node_id] = FoundSource(
                _columns(row.columns), guessed, row.found_at, row.found_by, before, row.run_id, row.run_at
            )
    return found


def nodes_reading(
    session: Session,
    tenant_id: str,
    connector: tuple[str, str],
    configs: Sequence[Mapping[str, Any]],
    *,
    declared: bool = False,
) -> list[tuple[str, dict[str, Any]]]:
    """The source nodes of the tenant's live and newest documents that read through a connector (its id and name) with
    one of the configs: (pipeline, node). Those with `fields` only if `declared`."""
    asked = {"tenant": tenant_id, "id": connector[0], "name": connector[1], "declared": declared}
    rows = session.execute(_READING, {**asked, "configs": [json.dumps(each) for each in configs]})
    return [(row[0], row[1]) for row in rows]


class FoundColumnStore:
    """The stored columns of sources, for runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self, pipeline_id: str, keys: Mapping[str, str]) -> dict[str, FoundSource]:
        """What is known of source nodes (by id), by their keys."""
        with self._engine.begin() as connection:
            return known(connection, pipeline_id, keys)

    def found(self, pipeline_id: str, run_id: str, seen: Sequence[Seen]) -> dict[str, FoundSource]:
        """Stores what a run has found; returns what was known before, by node."""
        with self._engine.begin() as connection:
            before = known(connection, pipeline_id, {each.node: each.key for each in seen})
            remember(connection, pipeline_id, seen, run_id)
        return before

    def ran(self, pipeline_id: str, run_id: str, seen: Sequence[Seen]) -> None:
        """Stores that the run is planned with what it has found."""
        with self._engine.begin() as connection:
            for each in seen:
                values = {"pipeline": pipeline_id, "node": each.node, "key": each.key, "run": run_id}
                connection.execute(_RAN, values)


def _columns(stored: Iterable[Mapping[str, Any]]) -> Schema:
    return tuple(Field(**{name: value for name, value in each.items() if name != "guessed"}) for each in stored)
