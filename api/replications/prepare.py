"""Makes the schemas and pipelines that runs of replications wait for.

A run itself inspects the source, and may not change schemas and pipelines: its database role has no rights for that.
Its findings are in the catalog; this module reads them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from headrace.api.context import Services
from headrace.catalog.advisory_locks import REPLICATION_LOCKS, advisory_lock
from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.replications.preparation import EarlierChild, Preparation, PreparedTable, ToPrepare
from headrace.catalog.replications.store import ReplicationRunStore
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import TERMINAL
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.registry import of_type
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused
from headrace.deployments.sync.reconciler import Reconciler
from headrace.flows.replication.apply import Applied, apply_plan
from headrace.flows.replication.expand import NEW_TABLE, Expansion
from headrace.flows.replication.found import FOUND_TABLES
from headrace.flows.replication.known import known, sources_digest
from headrace.flows.replication.table_plan import TablePlan
from headrace.ir.problems import Problem
from headrace.ir.replication import parse_replication

_log = structlog.get_logger("headrace.replications")

_PAUSE_S = 1.0
_AT_ONCE = 20
_THREADS = 3
"""Pipelines that are registered in Prefect at a time."""
_SILENCE_S = 20.0
_DELETED = "The run was deleted in Prefect before it ended"


class Preparer:
    """Safe to run in several processes at once: a replication is prepared by one of them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._runs = Preparation(services.engine)
        self._store = ReplicationRunStore(services.engine, keyring=services.settings.keyring)
        self._silent_due = 0.0

    def step(self) -> float:
        """Prepares the runs that wait, and ends those that have ended in Prefect. Returns the seconds until the next
        step. Raises OrchestratorAway."""
        for run_id in self._runs.waiting(_AT_ONCE):
            try:
                self.prepare(run_id)
            except (OrchestratorAway, OperationalError):
                raise
            except Exception as error:  # noqa: BLE001 (one that cannot be prepared must not block the others)
                _log.exception("a replication cannot be expanded", run=run_id)
                reason = f"Its pipelines could not be made: {type(error).__name__}"
                self._store.finished(run_id, status="failed", failure_reason=reason)
        if time.monotonic() >= self._silent_due:
            self.settle()
            self._silent_due = time.monotonic() + _SILENCE_S
        return _PAUSE_S

    def settle(self, silence_s: float = _SILENCE_S) -> int:
        """Ends runs in the catalog whose process ended without reporting; returns how many. Raises OrchestratorAway."""
        ended = 0
        for run_id in self._runs.silent(silence_s, _AT_ONCE * 10):
            state = self._services.orchestrator.state(run_id)
            if state is None:
                ended += self._store.finished(run_id, status="failed", failure_reason=_DELETED)
            elif state.status in TERMINAL:
                ended += self._store.finished(run_id, status=state.status, failure_reason=state.failure_reason)
        return ended

    def prepare(self, run_id: str) -> bool:
        """Makes the pipelines of one run; False if it does not wait, or another process makes them. Raises
        OrchestratorAway: then it is to be tried again."""
        run = self._runs.look(run_id)
        if run is None:
            return False
        with advisory_lock(self._services.engine, REPLICATION_LOCKS, run.replication_id, wait=False) as mine:
            run = self._runs.look(run_id) if mine else None
            if run is None:
                return False
            with writing_as(Author(run.run_id, "replication")):
                self._prepare(run)
        return True

    def _prepare(self, run: ToPrepare) -> None:
        with self._catalog(run) as catalog:
            replication = catalog.replications.get(run.replication_id)
            document = parse_replication(replication.document).document if replication is not None else None
            connector = of_type(replication.connector.type) if replication is not None else None
            if replication is None or document is None or connector is None:
                self._store.finished(run.run_id, status="failed", failure_reason="The replication cannot be expanded")
                return
            found = FOUND_TABLES.validate_python(run.found)
            now = known(catalog, replication, document, found)
            plans = Expansion(document, connector, run.tenant_id, now).plans(found, run.only_tables)
        refused: dict[str, str] = {}
        applied: dict[str, Applied] = {}
        for plan in plans:
            if plan.runs:
                before = now.tables.get(plan.name)
                try:
                    with self._catalog(run) as catalog:
                        applied[plan.name] = apply_plan(
                            catalog, replication, plan, before.pipeline_id if before is not None else None
                        )
                except Invalid as error:
                    refused[plan.name] = "; ".join(each.message for each in error.problems) or str(error)
                except Conflict as error:
                    refused[plan.name] = str(error)
                except OperationalError:
                    raise
                except DBAPIError as error:
                    said = error.orig if isinstance(error.orig, BaseException) else error
                    refused[plan.name] = f"The database refuses its table: {error_message(said)}"
            elif plan.problems:
                refused[plan.name] = "; ".join(map(_text, plan.problems))
        refused |= self._registered(applied)
        earlier = self._runs.earlier(run.retry_of) if run.retry_of is not None else {}
        tables = [_prepared(plan, applied.get(plan.name), refused, earlier.get(plan.name)) for plan in plans]
        with self._catalog(run) as catalog:
            gone = [plan.name for plan in plans if plan.change in ("gone", "left_out")]
            if gone:
                catalog.replications.missed(run.replication_id, gone)
            taken_up = [plan.name for plan in plans if plan.name in refused and not _is_new(plan)]
            if taken_up:
                catalog.replications.take_up(run.replication_id, taken_up)
            if run.only_tables is None:
                catalog.replications.settle(run.replication_id, sources_digest(document, replication.connector_id))
            self._runs.prepared(catalog.session, run.run_id, tables)
        _log.info("replication expanded", run=run.run_id, replication=run.replication_id, tables=len(tables))

    def _registered(self, applied: dict[str, Applied]) -> dict[str, str]:
        """Registers the pipelines in Prefect; returns, by table, why Prefect refuses one. Raises OrchestratorAway."""
        reconciler = Reconciler(self._services.engine, self._services.orchestrator)

        def register(pipeline_id: str) -> str | None:
            try:
                reconciler.bring(pipeline_id)
            except OrchestratorRefused as error:
                return str(error)
            return None

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="replications") as pool:
            found = dict(zip(applied, pool.map(register, [each.pipeline_id for each in applied.values()]), strict=True))
        return {name: reason for name, reason in found.items() if reason is not None}

    @contextmanager
    def _catalog(self, run: ToPrepare) -> Iterator[TenantCatalog]:
        limit = partial(self._services.settings.limit, tenant_id=run.tenant_id)
        with Session(self._services.engine, expire_on_commit=False) as session, session.begin():
            yield TenantCatalog(session, run.tenant_id, limit)


def _prepared(
    plan: TablePlan, applied: Applied | None, refused: dict[str, str], earlier: EarlierChild | None
) -> PreparedTable:
    if plan.name in refused:
        return PreparedTable(plan.name, plan.change, "refused", message=refused[plan.name])
    if applied is None:
        return PreparedTable(plan.name, plan.change, "not_run")
    return PreparedTable(
        plan.name,
        plan.change,
        "waiting",
        pipeline_id=applied.pipeline_id,
        ir_version=applied.ir_version,
        retry_of=None if earlier is None or not _continues(plan, applied, earlier) else earlier.run_id,
    )


def _continues(plan: TablePlan, applied: Applied, earlier: EarlierChild) -> bool:
    """Whether a retry continues after what the failed run committed. After a change of the pipeline it restarts, so
    that the change is used, unless rows that were appended would be there twice."""
    appends = plan.load_mode == "append" and plan.cursor is None
    return earlier.ir_version == applied.ir_version or (appends and earlier.rows_out > 0)


def _is_new(plan: TablePlan) -> bool:
    """Whether it is refused because it is new: it stays so."""
    return any(problem.code == NEW_TABLE for problem in plan.problems)


def _text(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message
