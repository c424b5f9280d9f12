"""What may not go because pipelines use it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, cast, exists, func, literal, or_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.orm import Session

from catalog.errors import Conflict
from catalog.models import Pipeline, PipelineIrVersion
from catalog.repositories.pipelines import PipelineRepository

_NAMED = 3
"""So many pipelines are named in a refusal."""


class PipelineUsage:
    """Which of a tenant's pipelines use a thing."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._pipelines = PipelineRepository(session, tenant_id)

    def refuse(self, what: str, *using: ColumnElement[bool]) -> None:
        """Raises Conflict, naming some pipelines, when any of the conditions holds for one. `what` begins the text."""
        found = self._pipelines.owned().with_only_columns(Pipeline.name).where(or_(*using)).order_by(Pipeline.name)
        names: Sequence[str] = self._session.scalars(found.limit(_NAMED + 1)).all()
        if names:
            listed = ", ".join(f"'{name}'" for name in names[:_NAMED])
            others = " and others" if len(names) > _NAMED else ""
            raise Conflict(f"{what} is used by the pipeline{'s' * (len(names) > 1)} {listed}{others}")

    def loading(self, table: str, *, besides: str) -> list[str]:
        """The names of the pipelines, `besides` that one, whose live IR has a target on the table (qualified)."""
        plain = table.removeprefix("public.")
        named = self._pipelines.owned().with_only_columns(Pipeline.name).where(Pipeline.id != besides)
        return list(self._session.scalars(named.where(_targets(plain)).order_by(Pipeline.name)))


def names_table(table: str) -> ColumnElement[bool]:
    """The pipeline's live IR names the table in one of its nodes (as a target, or to look rows up in an op or rule)."""
    names = {"plain": table, "full": f"public.{table}"}
    rules = {f"{spelling}Rule": f"exists:{name}." for spelling, name in names.items()}
    spelt = literal(names | rules, JSONB)
    return exists().where(
        PipelineIrVersion.pipeline_id == Pipeline.id,
        PipelineIrVersion.version == Pipeline.live_version,
        func.jsonb_path_exists(PipelineIrVersion.ir, cast(_ANY_TEXT_IN_NODES, JSONPATH), spelt),
    )


def _targets(table: str) -> ColumnElement[bool]:
    spelt = literal({"plain": table, "full": f"public.{table}"}, JSONB)
    return exists().where(
        PipelineIrVersion.pipeline_id == Pipeline.id,
        PipelineIrVersion.version == Pipeline.live_version,
        func.jsonb_path_exists(PipelineIrVersion.ir, cast(_TARGETS, JSONPATH), spelt),
    )


_TARGETS = '$.nodes[*] ? (@.kind == "target" && (@.schema == $plain || @.schema == $full))'
_ANY_TEXT_IN_NODES = """
    $.nodes[*].** ? (@ == $plain || @ == $full || @ starts with $plainRule || @ starts with $fullRule)
"""
