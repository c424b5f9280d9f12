"""Finds the pipelines that use an object, which must not be deleted then."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, cast, exists, func, literal, or_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.orm import Session

from headrace.catalog.errors import Conflict
from headrace.catalog.models import Pipeline, PipelineIrVersion
from headrace.catalog.repositories.pipelines import PipelineRepository

_NAMED = 3
"""The number of pipelines that are named in a message."""


class PipelineUsage:
    """The pipelines of a tenant that use an object."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._pipelines = PipelineRepository(session, tenant_id)

    def refuse(self, what: str, *using: ColumnElement[bool]) -> None:
        """Raises Conflict, with some names, if any of the conditions is true for a pipeline. `what` begins the
        message."""
        found = self._pipelines.owned().with_only_columns(Pipeline.name).where(or_(*using)).order_by(Pipeline.name)
        names: Sequence[str] = self._session.scalars(found.limit(_NAMED + 1)).all()
        if names:
            listed = ", ".join(f"'{name}'" for name in names[:_NAMED])
            others = " and others" if len(names) > _NAMED else ""
            raise Conflict(f"{what} is used by the pipeline{'s' * (len(names) > 1)} {listed}{others}")

    def loading(self, table: str, *, besides: str, elsewhere: tuple[str, str] | None = None) -> list[str]:
        """Returns the names of the pipelines, without the pipeline `besides`, whose live IR loads the table
        (qualified): one of the warehouse, or of the database of the connector with the id and name `elsewhere`."""
        plain = table.removeprefix("public.")
        named = self._pipelines.owned().with_only_columns(Pipeline.name).where(Pipeline.id != besides)
        return list(self._session.scalars(named.where(_targets(plain, elsewhere)).order_by(Pipeline.name)))


def uses_table(table: str) -> ColumnElement[bool]:
    """Returns a condition: a node of the pipeline's live IR names the table (as a target, or in an op or rule)."""
    names = {"plain": table, "full": f"public.{table}"}
    rules = {f"{spelling}Rule": f"exists:{name}." for spelling, name in names.items()}
    spelt = literal(names | rules, JSONB)
    return exists().where(
        PipelineIrVersion.pipeline_id == Pipeline.id,
        PipelineIrVersion.version == Pipeline.live_version,
        func.jsonb_path_exists(PipelineIrVersion.ir, cast(_ANY_TEXT_IN_NODES, JSONPATH), spelt),
    )


def uses_connector(record_id: str, name: str) -> ColumnElement[bool]:
    """Returns a condition: a source of the pipeline's live IR reads through the connector, or a target loads into
    its database."""
    return exists().where(
        PipelineIrVersion.pipeline_id == Pipeline.id,
        PipelineIrVersion.version == Pipeline.live_version,
        func.jsonb_path_exists(
            PipelineIrVersion.ir, cast(_CONNECTIONS, JSONPATH), literal({"id": record_id, "name": name}, JSONB)
        ),
    )


def _targets(table: str, elsewhere: tuple[str, str] | None) -> ColumnElement[bool]:
    record, name = elsewhere or ("", "")
    spelt = literal({"plain": table, "full": f"public.{table}", "id": record, "name": name}, JSONB)
    path = _TARGETS if elsewhere is None else _TARGETS_ELSEWHERE
    return exists().where(
        PipelineIrVersion.pipeline_id == Pipeline.id,
        PipelineIrVersion.version == Pipeline.live_version,
        func.jsonb_path_exists(PipelineIrVersion.ir, cast(path, JSONPATH), spelt),
    )


_CONNECTIONS = """
    $.nodes[*] ? ((@.kind == "source" || @.kind == "target") && (@.connection == $id || @.connection == $name))
"""
# The table of a target in another database is a table of that database.
_TARGETS = """
    $.nodes[*] ? (@.kind == "target" && !exists(@.connection ? (@ != null))
                  && (@.schema == $plain || @.schema == $full))
"""
_TARGETS_ELSEWHERE = """
    $.nodes[*] ? (@.kind == "target" && (@.connection == $id || @.connection == $name)
                  && (@.schema == $plain || @.schema == $full))
"""
_ANY_TEXT_IN_NODES = """
    $.nodes[*] ? (!(@.kind == "target" && exists(@.connection ? (@ != null)))).** ?
        (@ == $plain || @ == $full || @ starts with $plainRule || @ starts with $fullRule)
"""
