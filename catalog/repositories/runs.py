"""A tenant's runs, read-only: single runs, lists, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, case, distinct, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from headrace.catalog.models import PipelineRun, RunError, RunRequest
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.runs.records import TERMINAL
from headrace.ir.schema import Field, Schema

_ERROR_KEY = (RunError.row, RunError.column, RunError.rule, RunError.node_id, RunError.partition, RunError.stage)


class ErrorPosition(NamedTuple):
    """A position in the errors of a run, which are ordered by row."""

    row: int
    column: str
    rule: str
    node_id: str
    partition: int
    stage: int


@dataclass(frozen=True, slots=True)
class ErrorFilter:
    """A filter of errors; None matches all. `kind` is `failed` or `warned`, `column` is empty for whole rows, `file` is
    one of the files that a row comes from."""

    node: str | None = None
    rule: str | None = None
    column: str | None = None
    kind: str | None = None
    file: str | None = None
    stage: int | None = None

    @property
    def conditions(self) -> tuple[ColumnElement[bool], ...]:
        """The filter as conditions of a query."""
        found: list[ColumnElement[bool]] = []
        if self.node is not None:
            found.append(RunError.node_id == self.node)
        if self.rule is not None:
            found.append(RunError.rule == self.rule)
        if self.column is not None:
            found.append(RunError.column == self.column)
        if self.kind is not None:
            found.append(RunError.warning.is_(self.kind == "warned"))
        if self.file is not None:
            found.append(RunError.sources.contains([{"file": self.file}]))
        if self.stage is not None:
            found.append(RunError.stage == self.stage)
        return tuple(found)


EVERYTHING = ErrorFilter()
FAILED = ErrorFilter(kind="failed")
WARNED = ErrorFilter(kind="warned")


class ErrorTotal(NamedTuple):
    """A group of errors, with the number of cells and of rows."""

    node: str
    rule: str
    kind: str
    column: str | None
    file: str | None
    error: str
    cells: int
    rows: int


class RunRepository(TenantRepository[PipelineRun]):
    """Runs of the tenant's pipelines."""

    model = PipelineRun
    noun = "run"

    def of_pipeline(self, pipeline_id: str, run_id: str) -> PipelineRun | None:
        """Returns the run if it belongs to the pipeline, else None."""
        run = self.get(run_id)
        return run if run is not None and run.pipeline_id == pipeline_id else None

    def newest(self, pipeline_id: str, limit: int) -> Sequence[PipelineRun]:
        """Returns the newest runs of a pipeline, newest first."""
        return self.session.scalars(
            self.owned()
            .where(PipelineRun.pipeline_id == pipeline_id)
            .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
            .limit(limit)
        ).all()

    def last_columns(self, pipeline_id: str) -> dict[str, Schema]:
        """Returns source node → its columns in the newest planned run of the pipeline."""
        columns = PipelineRun.plan["schemas"]
        planned = self.owned().where(PipelineRun.pipeline_id == pipeline_id, columns.is_not(None))
        newest = planned.with_only_columns(columns).order_by(PipelineRun.created_at.desc()).limit(1)
        found = self.session.scalar(newest) or {}
        return {node: tuple(Field(**field) for field in fields) for node, fields in found.items()}

    def newest_with_status(self, pipeline_id: str, status: str) -> PipelineRun | None:
        """Returns the newest run of a pipeline with that status that was not skipped; None without one."""
        query = self.owned().where(
            PipelineRun.pipeline_id == pipeline_id, PipelineRun.status == status, PipelineRun.skip_reason.is_(None)
        )
        run: PipelineRun | None = self.session.scalar(query.order_by(PipelineRun.created_at.desc()).limit(1))
        return run

    def unfinished(self, status: Literal["pending", "running"], *, at_most: int) -> int:
        """Counts the tenant's runs with that status, up to `at_most`."""
        # Literals, so that the index of unfinished runs is used.
        in_status = PipelineRun.status == literal(status, literal_execute=True)
        found = self.owned().with_only_columns(PipelineRun.id).where(in_status).limit(at_most).subquery()
        return self.session.scalar(select(func.count()).select_from(found)) or 0

    def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Returns those of the runs that have ended."""
        has_ended = (PipelineRun.id.in_(run_ids), PipelineRun.status.in_(sorted(TERMINAL)))
        return set(self.session.scalars(self.owned().where(*has_ended).with_only_columns(PipelineRun.id)))

    def retries_of(self, run_id: str) -> Sequence[PipelineRun]:
        """Returns the retries of a run, oldest first."""
        query = self.owned().where(PipelineRun.retry_of == run_id).order_by(PipelineRun.created_at)
        return self.session.scalars(query).all()

    def error_count(self, run: PipelineRun, only: ErrorFilter = EVERYTHING) -> int:
        """Counts the errors of a run and of the runs that it continues."""
        count = select(func.count()).select_from(RunError).where(*self._errors_of(run), *only.conditions)
        return self.session.scalar(count) or 0

    def error_totals(self, run: PipelineRun, only: ErrorFilter = EVERYTHING, *, limit: int) -> Sequence[ErrorTotal]:
        """Groups the errors by node, rule, kind, column and file, largest first, at most `limit`. `error` is one of
        theirs."""
        kind = case((RunError.warning, "warned"), else_="failed").label("kind")
        file = RunError.sources[0]["file"].astext.label("file")
        by = (RunError.node_id, RunError.rule, kind, RunError.column, file)
        cells = func.count()
        rows = func.count(distinct(tuple_(RunError.stage, RunError.partition, RunError.row)))
        query = select(*by, func.min(RunError.error), cells, rows).where(*self._errors_of(run), *only.conditions)
        found = self.session.execute(query.group_by(*by).order_by(cells.desc(), *by).limit(limit))
        return [ErrorTotal(*each) for each in found]

    def errors(
        self, run: PipelineRun, only: ErrorFilter = EVERYTHING, *, limit: int, after: ErrorPosition | None = None
    ) -> Sequence[RunError]:
        """Returns at most `limit` errors of a run and of the runs that it continues, by row, after `after`."""
        query = select(RunError).where(*self._errors_of(run), *only.conditions).order_by(*_ERROR_KEY).limit(limit)
        if after is not None:
            query = query.where(tuple_(*_ERROR_KEY) > tuple(after))
        return self.session.scalars(query).all()

    def _errors_of(self, run: PipelineRun) -> tuple[ColumnElement[bool], ...]:
        # A retry includes the counts of its chain, so it includes the chain's errors too; not those of later retries.
        chain = select(PipelineRun.id).where(
            PipelineRun.root_run_id == run.root_run_id,
            (PipelineRun.created_at <= run.created_at) | (PipelineRun.id == run.id),
        )
        return RunError.root_run_id == run.root_run_id, RunError.run_id.in_(chain)

    def requested(self, pipeline_id: str, idempotency_key: str) -> str | None:
        """Returns the id of the run that was started with the idempotency key; None without one."""
        request = self.session.get(RunRequest, (pipeline_id, idempotency_key))
        return request.run_id if request is not None else None

    def remember_request(self, pipeline_id: str, idempotency_key: str, run_id: str) -> bool:
        """Stores the idempotency key of a run; returns False if the key was used before."""
        statement = insert(RunRequest).values(pipeline_id=pipeline_id, idempotency_key=idempotency_key, run_id=run_id)
        tied = statement.on_conflict_do_nothing().returning(RunRequest.run_id)
        return self.session.execute(tied).one_or_none() is not None


def position_of(error: RunError) -> ErrorPosition:
    """Returns the position of an error."""
    return ErrorPosition(error.row, error.column, error.rule, error.node_id, error.partition, error.stage)
