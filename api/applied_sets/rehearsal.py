"""Rehearsal of `headrace apply`: the same requests to the same services, in a transaction that is rolled back.

It also creates and changes tables, so that pipelines are checked against the tables they would have. Prefect is not
updated. Time-outs for statements and locks are short, so that it does not block runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psycopg
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from headrace.api.applied_sets.schemas import Refused, Rehearsal, RehearsedRequest, Unknown
from headrace.api.connectors import service as connectors
from headrace.api.connectors.schemas import CreateConnector, UpdateConnector
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, Detail, answer_of, not_found
from headrace.api.ir import service as ir
from headrace.api.ir.found import found_undeclared
from headrace.api.ir.schemas import SaveIr
from headrace.api.pipelines import service as pipelines
from headrace.api.pipelines.schemas import CreatePipeline, UpdatePipeline
from headrace.api.replications import service as replications
from headrace.api.replications.schemas import CreateReplication, UpdateReplication
from headrace.api.schema_fields import service as fields
from headrace.api.schema_fields.schemas import UpdateField
from headrace.api.schemas import service as schemas
from headrace.api.schemas.schemas import CreateSchema, FieldBody, UpdateSchema
from headrace.api.yaml_connectors import service as yaml_connectors
from headrace.api.yaml_connectors.body import document_in
from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.repositories import TenantCatalog
from headrace.deployments.sync.reconciler import Reconciler
from headrace.flows.validation.catalog_tables import CatalogTables
from headrace.flows.validation.check import check_targets
from headrace.ir import parse_ir

STATEMENT_S, LOCK_S = 5, 1
"""Time-outs in seconds: changes that take longer, such as a type change of a large table, are reported as unknown."""
SECONDS = 8
"""Time limit for all requests, as locks are held until the end. Requests after it are reported as unknown."""
_PLACEHOLDER_ID = re.compile(r"new:\d{1,6}")


_REFERENCES = ("id", "connectorId", "schemaId", "linkedSchemaId")
"""Fields of a body that refer to another object."""

Shape = TypeVar("Shape", bound=BaseModel)


def rehearse(context: RequestContext, requests: Sequence[RehearsedRequest]) -> Rehearsal:
    """Executes the requests in order, and rolls everything back."""
    refused: list[Refused] = []
    unknown: list[Unknown] = []
    with Session(context.services.engine, expire_on_commit=False) as session:
        limits = "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)"
        session.execute(text(limits), {"statement": f"{STATEMENT_S}s", "lock": f"{LOCK_S}s"})
        stage = _RehearsalContext(context.principal, context.services, session)
        made: dict[str, str] = {}
        untried: set[str | None] = set()
        until = time.monotonic() + SECONDS
        try:
            for index, request in enumerate(requests):
                if time.monotonic() > until:
                    reason = f"{len(requests) - index:,} changes from here on were not tried within {SECONDS} seconds"
                    unknown.append(Unknown(index=index, reason=reason))
                    break
                try:
                    known = _with_real_ids(request, made)
                except KeyError as error:  # an object that it refers to was not created
                    if error.args[0] in untried:  # else refused, which is reported
                        reason = "it needs an object of this set that could not be tried"
                        unknown.append(Unknown(index=index, reason=reason))
                        untried.add(request.known_as)
                    continue
                try:
                    object_id = _perform(stage, known)
                    if request.known_as is not None and object_id is not None:
                        made[request.known_as] = object_id
                except DBAPIError as error:
                    if not isinstance(error.orig, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
                        raise
                    unknown.append(Unknown(index=index, reason="it would take too long, or its table is in use"))
                    untried.add(request.known_as)
                except (ApiError, Conflict, Invalid, ValidationError) as error:
                    refused.append(_refused(index, error))
        finally:
            session.rollback()
    return Rehearsal(refused=refused, unknown=unknown)


@dataclass(frozen=True, slots=True)
class _RehearsalContext(RequestContext):
    """A RequestContext in which everything happens in one session and Prefect is not updated."""

    session: Session

    @contextmanager
    def catalog(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog in a savepoint."""
        with self.session.begin_nested():
            yield TenantCatalog(self.session, self.principal.tenant_id, self.limit)

    @contextmanager
    def reading(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog in the session of the rehearsal."""
        yield TenantCatalog(self.session, self.principal.tenant_id, self.limit)

    @property
    def reconciler(self) -> Reconciler:
        """A reconciler that does nothing."""
        return cast(Reconciler, _NoReconciler())


class _NoReconciler:
    def bring(self, pipeline_id: str, *, force: bool = False) -> None:
        """Does nothing."""


def _with_real_ids(request: RehearsedRequest, made: Mapping[str, str]) -> RehearsedRequest:
    """The request with placeholder ids replaced by those of created objects. Raises KeyError for one not created."""

    def known(value: Any) -> Any:
        return made[value] if isinstance(value, str) and _PLACEHOLDER_ID.fullmatch(value) else value

    given = request.body or {}
    body = request.body and given | {name: known(given[name]) for name in _REFERENCES if name in given}
    query = {name: known(value) for name, value in request.query.items()}
    path = "/".join(str(known(part)) for part in request.path.split("/"))
    return request.model_copy(update={"path": path, "query": query, "body": body})


def _perform(stage: _RehearsalContext, request: RehearsedRequest) -> str | None:
    """Executes a request; returns the id of the created or changed object."""
    for (method, pattern), action in _ACTIONS.items():
        match = re.fullmatch(pattern, request.path)
        if method == request.method and match is not None:
            with stage.session.begin_nested():
                found = action(stage, request, *match.groups())
                if isinstance(found, str) and request.path.startswith("/pipelines"):
                    _check_targets(stage, found)
                return found
    raise not_found("request")


def _check_targets(stage: _RehearsalContext, pipeline_id: str) -> None:
    """Raises ApiError 422 with the problems that a run would have with its tables."""
    with stage.reading() as catalog:
        pipeline = pipelines.owned_pipeline(catalog, pipeline_id)
        live = catalog.pipelines.ir_version(pipeline)
        parsed = parse_ir(live.ir).ir if live is not None else None
        if parsed is None or live is None:
            return
        connection = stage.session.connection().connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        known = CatalogTables(catalog.schemas)
        found = {node: each.columns for node, each in found_undeclared(catalog, pipeline, live.ir).items()}
        problems = check_targets(parsed, connection, known, catalog.runs.last_columns(pipeline_id) | found)
    if problems:
        raise ApiError(422, "Its runs would fail", details=problems)


def _confirmed(request: RehearsedRequest) -> bool:
    return request.query.get("confirm") == "true"


def _body(shape: type[Shape], request: RehearsedRequest) -> Shape:
    return shape.model_validate(request.body or {})


def _remove_pipeline(stage: _RehearsalContext, pipeline_id: str) -> None:
    with stage.catalog() as catalog:
        pipeline = pipelines.owned_pipeline(catalog, pipeline_id)
        if runs := catalog.pipelines.active_runs(pipeline):
            raise ApiError(409, f"The pipeline is running ({', '.join(sorted(runs)[:3])}); wait, or cancel")
        catalog.pipelines.remove(pipeline)


def _save_ir(stage: _RehearsalContext, request: RehearsedRequest, pipeline_id: str) -> str:
    body = _body(SaveIr, request)
    ir.save_ir(stage, pipeline_id, body, publish=True, expected=None, confirm=_confirmed(request))
    return pipeline_id


def _save_document(stage: _RehearsalContext, request: RehearsedRequest, document_id: str) -> str:
    saved, _ = yaml_connectors.save_document(
        stage,
        document_id,
        document_in(request.body),
        comment=None,
        publish=True,
        expected=None,
        confirm=_confirmed(request),
    )
    return saved.id


_Action = Callable[..., str | None]
_ACTIONS: Mapping[tuple[str, str], _Action] = {
    ("POST", "/yaml-connectors"): lambda stage, r: (
        yaml_connectors.create_document(stage, document_in(r.body), r.query.get("comment"), confirm=_confirmed(r)).id
    ),
    ("PUT", "/yaml-connectors/([^/]+)"): _save_document,
    ("DELETE", "/yaml-connectors/([^/]+)"): lambda stage, r, id_: yaml_connectors.delete_document(stage, id_),
    ("POST", "/connectors"): lambda stage, r: connectors.create_connector(stage, _body(CreateConnector, r)).id,
    ("PUT", "/connectors"): lambda stage, r: connectors.update_connector(stage, _body(UpdateConnector, r)).id,
    ("DELETE", "/connectors"): lambda stage, r: connectors.delete_connector(stage, r.query.get("id", "")),
    ("POST", "/schemas"): lambda stage, r: schemas.create_schema(stage, _body(CreateSchema, r)).id,
    ("PUT", "/schemas"): lambda stage, r: schemas.update_schema(stage, _body(UpdateSchema, r)).id,
    ("DELETE", "/schemas"): lambda stage, r: schemas.delete_schema(stage, r.query.get("id", ""), confirm=_confirmed(r)),
    ("POST", "/schemas/([^/]+)/fields"): lambda stage, r, id_: fields.add_field(stage, id_, _body(FieldBody, r)).id,
    ("PUT", "/schemas/([^/]+)/fields"): lambda stage, r, id_: (
        fields.change_field(stage, id_, _body(UpdateField, r), confirm=_confirmed(r)).id
    ),
    ("DELETE", "/schemas/([^/]+)/fields"): lambda stage, r, id_: fields.drop_field(
        stage, id_, r.query.get("id", ""), confirm=_confirmed(r)
    ),
    ("POST", "/pipelines"): lambda stage, r: pipelines.create_pipeline(stage, _body(CreatePipeline, r)).id,
    ("PUT", "/pipelines"): lambda stage, r: pipelines.update_pipeline(stage, _body(UpdatePipeline, r)).id,
    ("DELETE", "/pipelines"): lambda stage, r: _remove_pipeline(stage, r.query.get("id", "")),
    ("POST", "/pipelines/([^/]+)/ir"): _save_ir,
    ("POST", "/replications"): lambda stage, r: replications.create_replication(stage, _body(CreateReplication, r)).id,
    ("PUT", "/replications"): lambda stage, r: replications.update_replication(stage, _body(UpdateReplication, r)).id,
    ("DELETE", "/replications"): lambda stage, r: replications.delete_replication(
        stage, r.query.get("id", ""), force=False
    ),
}


def _refused(index: int, error: ApiError | Conflict | Invalid | ValidationError) -> Refused:
    status, message, problems = answer_of(error)
    details = [Detail.model_validate(problem.as_dict()) for problem in problems]
    return Refused(index=index, status=status, message=message, details=details)
