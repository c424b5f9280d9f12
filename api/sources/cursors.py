"""The cursors of a pipeline: how far its sources were read. They are in the databases of the targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from headrace.api.context import RequestContext
from headrace.api.databases import ask, databases_at
from headrace.api.errors import ApiError, invalid, not_found
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.sources.schemas import ChangeCursors, CursorItem, PipelineCursors
from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect, key_of
from headrace.connectors.postgresql.cursors import Moved, create_cursors, forget_cursors, read_cursors, set_cursor
from headrace.connectors.postgresql.named_database import NamedDatabase
from headrace.ir import PipelineIR, parse_ir
from headrace.ir.nodes import SourceNode, TargetNode, producer
from headrace.ir.problems import nearest

_DEFAULT = "default"
_SET_BY = "set by "


def get_cursors(context: RequestContext, pipeline_id: str) -> PipelineCursors:
    """All cursors. Raises ApiError: 404, 422 when the database of a target does not answer."""
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
        found = read_cursors(_connection(catalog), pipeline_id)
    return _shown([*found, *_read_elsewhere(context, pipeline_id, _elsewhere(context, pipeline_id))])


def change_cursors(context: RequestContext, pipeline_id: str, body: ChangeCursors) -> PipelineCursors:
    """Sets or resets cursors; returns all. Raises ApiError: 404, 400 for a source that there is not, 409 while a run
    has not ended, 422 when the database of a target does not answer."""
    if not body.reset:
        with connect(context.services.settings.database_url, autocommit=True) as connection:
            create_cursors(connection)
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
        # Locked: a run that starts now is recorded, and reads the cursors, when this has been committed.
        pipeline = catalog.pipelines.lock(pipeline_id)
        if pipeline is None:
            raise not_found("pipeline")
        if runs := catalog.pipelines.active_runs(pipeline):
            named = ", ".join(sorted(runs)[:3])
            raise ApiError(409, f"The pipeline has runs that have not ended ({named}): wait, or cancel")
        connection, elsewhere = _connection(catalog), _elsewhere(context, pipeline_id)
        before = [*read_cursors(connection, pipeline_id), *_read_elsewhere(context, pipeline_id, elsewhere)]
        change = _change(body, before, _sources(catalog, pipeline), context.principal.actor)
        # Those first: they may not answer, and then nothing is changed here.
        for database, targets in elsewhere.items():
            _answered(context, database, "change_cursors", pipeline_id, *change.arguments(targets))
        forget_cursors(connection, pipeline_id, change.source, change.name)
        others = {target for targets in elsewhere.values() for target in targets}
        if here := [target for target in change.targets if target not in others]:
            assert change.source is not None
            assert change.name is not None
            set_cursor(connection, pipeline_id, change.source, change.name, here, change.position, change.by)
        after = [*read_cursors(connection, pipeline_id), *_read_elsewhere(context, pipeline_id, elsewhere)]
        action = "reset_cursors" if body.reset else "set_cursors"
        catalog.audit.append(
            action, "pipeline", pipeline_id, pipeline.name, before=_audited(before), after=_audited(after)
        )
        return _shown(after)


@dataclass(frozen=True, slots=True)
class _Change:
    """Cursors that are forgotten (None: of all sources, or by all names), and then set for `targets`."""

    source: str | None
    name: str | None
    targets: Sequence[str] = ()
    position: Any = None
    by: str = ""

    def arguments(self, there: Collection[str]) -> tuple[Any, ...]:
        """The arguments of the query `change_cursors`, for a database with these targets."""
        return self.source, self.name, [each for each in self.targets if each in there], self.position, self.by


def _change(body: ChangeCursors, before: Sequence[Moved], sources: Mapping[str, Sequence[str]], actor: str) -> _Change:
    if body.reset:
        if body.source is not None and body.source not in {each.source_node for each in before}:
            _check_source(body.source, sources)
        return _Change(body.source, body.cursor)
    assert body.source is not None
    _check_source(body.source, sources)
    names = sorted({each.name for each in before if each.source_node == body.source})
    if body.cursor is None and len(names) > 1:
        message = f"The source '{body.source}' has several cursors"
        raise invalid("cursor", "missing_field", message, f"name one of: {', '.join(names[:30])}")
    name = body.cursor or (names[0] if names else _DEFAULT)
    # Those of targets that it no longer reaches would be at another position, and stop the next run.
    return _Change(body.source, name, sources[body.source], body.position, f"{_SET_BY}{actor}")


def _elsewhere(context: RequestContext, pipeline_id: str) -> dict[NamedDatabase, list[str]]:
    """The databases of connectors that targets of the live document are in, with those targets."""
    try:
        databases = databases_at(context, pipeline_id, None)
    except (NoIr, PipelineMissing):
        return {}
    except TargetError as error:
        raise ApiError(422, str(error)) from error
    return {
        database: [node for node, each in databases.by_target.items() if key_of(each) == database.key]
        for database in databases.all
        if isinstance(database, NamedDatabase)
    }


def _read_elsewhere(
    context: RequestContext, pipeline_id: str, elsewhere: Mapping[NamedDatabase, Collection[str]]
) -> list[Moved]:
    return [
        Moved(source, name, target, position, run_id, datetime.fromisoformat(at))
        for database in elsewhere
        for source, name, target, position, run_id, at in _answered(context, database, "cursors", pipeline_id)
    ]


def _answered(context: RequestContext, database: NamedDatabase, question: str, *arguments: Any) -> Any:
    try:
        return ask(context, database, question, *arguments)
    except TargetError as error:
        raise ApiError(422, str(error)) from error


def _check_source(source: str, sources: Mapping[str, Sequence[str]]) -> None:
    if source not in sources:
        message = f"The live document has no source '{source}'"
        raise invalid("source", "unknown_source", message, nearest(source, sources))


def _sources(catalog: TenantCatalog, pipeline: Pipeline) -> dict[str, list[str]]:
    """The source nodes of the live document, each with the targets that its rows reach."""
    live = catalog.pipelines.ir_version(pipeline)
    ir = parse_ir(live.ir).ir if live is not None else None
    if ir is None:
        return {}
    found: dict[str, list[str]] = {node.id: [] for node in ir.nodes if isinstance(node, SourceNode)}
    for target in (node.id for node in ir.nodes if isinstance(node, TargetNode)):
        for source in _before(ir, target) & found.keys():
            found[source].append(target)
    return found


def _before(ir: PipelineIR, node_id: str) -> set[str]:
    waiting, seen = [node_id], {node_id}
    while waiting:
        earlier = {producer(reference) for reference in ir.node(waiting.pop()).inputs} - seen
        seen |= earlier
        waiting += earlier
    return seen


def _connection(catalog: TenantCatalog) -> psycopg.Connection[Any]:
    """The warehouse is the database of the catalog: what is changed there commits with the audit log."""
    connection = catalog.session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def _audited(cursors: Sequence[Moved]) -> dict[str, Any]:
    named = {f"{each.source_node}/{each.name}/{each.target_node}": each.position for each in cursors}
    return {"cursors": named}


def _shown(cursors: Sequence[Moved]) -> PipelineCursors:
    return PipelineCursors(
        data=[
            CursorItem(
                source=each.source_node,
                cursor=each.name,
                target=each.target_node,
                position=each.position,
                run_id=None if each.run_id.startswith(_SET_BY) else each.run_id,
                set_by=each.run_id.removeprefix(_SET_BY) if each.run_id.startswith(_SET_BY) else None,
                updated_at=each.at,
            )
            for each in cursors
        ]
    )
