"""A tenant's runs, read-only: single runs, lists, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Date, Text, case, cast, distinct, func, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import insert

from headrace.catalog.models import Pipeline, PipelineRun, RunError, RunErrorCount, RunLog, RunRequest
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.repositories.error_pages import ErrorPosition, GroupKey, errors_by_row, few_of_file, groups_of
from headrace.catalog.runs.records import TERMINAL, LogLevel
from headrace.ir.schema import Field, Schema

_ROW_DIGITS = 20
_VALUE_AT = _ROW_DIGITS + 1


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

    def selects(self, group: GroupKey) -> bool:
        """Whether errors of the group can match."""
        wanted = (self.node, self.rule, self.column, None if self.kind is None else self.kind == "warned")
        return all(value is None or value == found for value, found in zip(wanted, group, strict=True))

    def conditions(self, errors: type[RunError]) -> tuple[ColumnElement[bool], ...]:
        """The filter as conditions of a query of these errors."""
        if self.file is None:
            return self.conditions_but_file(errors)
        return (*self.conditions_but_file(errors), errors.sources.contains([{"file": self.file}]))

    def conditions_but_file(self, errors: type[RunError] | type[RunErrorCount]) -> tuple[ColumnElement[bool], ...]:
        """The filter without the file, as conditions of a query of errors or of their counts."""
        found: list[ColumnElement[bool]] = []
        if self.node is not None:
            found.append(errors.node_id == self.node)
        if self.rule is not None:
            found.append(errors.rule == self.rule)
        if self.column is not None:
            found.append(errors.column == self.column)
        if self.kind is not None:
            found.append(errors.warning.is_(self.kind == "warned"))
        if self.stage is not None:
            found.append(errors.stage == self.stage)
        return tuple(found)


EVERYTHING = ErrorFilter()
FAILED = ErrorFilter(kind="failed")
WARNED = ErrorFilter(kind="warned")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A filter of the lines of a log: a part of the message, in any case; the least level; the part of the run."""

    q: str = ""
    level: LogLevel = "info"
    stage: str = ""

    @property
    def conditions(self) -> tuple[ColumnElement[bool], ...]:
        """The filter as conditions of a query."""
        found: list[ColumnElement[bool]] = []
        if self.q:
            found.append(RunLog.message.icontains(self.q, autoescape=True))
        if self.level != "info":
            found.append(RunLog.level.in_(("warning", "error") if self.level == "warning" else ("error",)))
        if self.stage:
            found.append(RunLog.stage == self.stage)
        return tuple(found)


WHOLE_LOG = LogFilter()


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


class ErrorGroup(NamedTuple):
    """Errors of a rule of a node in a column (empty for whole rows): how many cells, the text of one, and values."""

    node: str
    rule: str
    column: str
    warned: bool
    error: str
    cells: int
    samples: Sequence[str]


class RunSummary(NamedTuple):
    """A run in a list. Its row totals are None until it has ended."""

    id: str
    pipeline_id: str
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    total_rows: int
    rows_in: int | None
    rows_out: int | None
    failed_rows: int | None
    skipped_rows: int | None
    failure_reason: str | None
    skip_reason: str | None
    ir_version: int
    retry_of: str | None

    @property
    def state(self) -> str:
        """Its status as people see it: also `skipped`, or `cancelled`."""
        if self.skip_reason:
            return "skipped"
        return "cancelled" if self.status == "failed" and self.failure_reason == "cancelled" else self.status

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it has ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class RunsOfDay(NamedTuple):
    """How many runs of a day are in a state (also `skipped`, for those that never began, and `cancelled`), and the id
    of one of them."""

    status: str
    runs: int
    run_id: str


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

    def recent(self, pipeline_ids: Sequence[str], each: int) -> dict[str, list[RunSummary]]:
        """Returns pipeline id → its newest runs, at most `each`, newest first; pipelines without runs are left out."""
        columns = [getattr(PipelineRun, name) for name in RunSummary._fields]
        newest = (
            self.owned()
            .with_only_columns(*columns)
            .where(PipelineRun.pipeline_id == Pipeline.id)
            .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
            .limit(each)
            .correlate(Pipeline)
            .lateral()
        )
        query = select(newest).select_from(Pipeline).join(newest, true()).where(Pipeline.id.in_(pipeline_ids))
        found: dict[str, list[RunSummary]] = {}
        for row in self.session.execute(query):
            found.setdefault(row.pipeline_id, []).append(RunSummary(*row))
        return found

    def by_day(
        self, pipeline_ids: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, dict[date, list[RunsOfDay]]]:
        """Returns pipeline id → day in UTC → the runs that were created then, from `start` to before `end`."""
        day = cast(func.timezone("UTC", PipelineRun.created_at), Date)
        state = case(
            (PipelineRun.skip_reason.is_not(None), "skipped"),
            (PipelineRun.failure_reason == "cancelled", "cancelled"),
            else_=PipelineRun.status,
        )
        query = (
            self.owned()
            .with_only_columns(PipelineRun.pipeline_id, day, state, func.count(), func.max(PipelineRun.id))
            .where(PipelineRun.pipeline_id.in_(pipeline_ids))
            .where(PipelineRun.created_at >= start, PipelineRun.created_at < end)
            .group_by(PipelineRun.pipeline_id, day, state)
            .order_by(state)
        )
        found: dict[str, dict[date, list[RunsOfDay]]] = {}
        for pipeline_id, at, status, count, run_id in self.session.execute(query):
            found.setdefault(pipeline_id, {}).setdefault(at, []).append(RunsOfDay(status, count, run_id))
        return found

    def unfinished_runs(self, status: Literal["pending", "running"], limit: int) -> list[tuple[RunSummary, str]]:
        """Returns the tenant's runs with that status, oldest first, each with the name of its pipeline."""
        in_status = PipelineRun.status == literal(status, literal_execute=True)
        columns = [getattr(PipelineRun, name) for name in RunSummary._fields]
        query = (
            self.owned()
            .with_only_columns(*columns, Pipeline.name)
            .join(Pipeline, Pipeline.id == PipelineRun.pipeline_id)
            .where(in_status)
            .order_by(PipelineRun.created_at, PipelineRun.id)
            .limit(limit)
        )
        return [(RunSummary(*row[:-1]), row[-1]) for row in self.session.execute(query)]

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

    def log(self, run: PipelineRun, only: LogFilter = WHOLE_LOG, *, limit: int, after: int = 0) -> Sequence[RunLog]:
        """Returns at most `limit` lines of the log of a run that match, after the one with the id `after`, oldest
        first."""
        lines = select(RunLog).where(RunLog.run_id == run.id, RunLog.id > after, *only.conditions)
        return self.session.scalars(lines.order_by(RunLog.id).limit(limit)).all()

    def newest_log(self, run: PipelineRun, only: LogFilter, *, limit: int) -> Sequence[RunLog]:
        """Returns at most `limit` lines of the log of a run that match, newest first."""
        lines = select(RunLog).where(RunLog.run_id == run.id, *only.conditions)
        return self.session.scalars(lines.order_by(RunLog.id.desc()).limit(limit)).all()

    def error_count(self, run: PipelineRun, only: ErrorFilter = EVERYTHING) -> int:
        """The number of errors of a run and of the runs that it continues. Only those of a file are counted now: the
        others are counted as they are recorded."""
        if only.file is None:
            kept = select(func.sum(RunErrorCount.cells)).where(
                RunErrorCount.root_run_id == run.root_run_id,
                RunErrorCount.run_id.in_(self._chain(run)),
                *only.conditions_but_file(RunErrorCount),
            )
            return int(self.session.scalar(kept) or 0)
        errors, conditions = self._matching(run, only)
        return self.session.scalar(select(func.count()).select_from(errors).where(*conditions)) or 0

    def error_totals(self, run: PipelineRun, only: ErrorFilter = EVERYTHING, *, limit: int) -> Sequence[ErrorTotal]:
        """Groups the errors by node, rule, kind, column and file, largest first, at most `limit`. `error` is one of
        theirs."""
        errors, conditions = self._matching(run, only)
        kind = case((errors.warning, "warned"), else_="failed").label("kind")
        file = errors.sources[0]["file"].astext.label("file")
        by = (errors.node_id, errors.rule, kind, errors.column, file)
        cells = func.count()
        rows = func.count(distinct(tuple_(errors.stage, errors.partition, errors.row)))
        query = select(*by, func.min(errors.error), cells, rows).where(*conditions)
        found = self.session.execute(query.group_by(*by).order_by(cells.desc(), *by).limit(limit))
        return [ErrorTotal(*each) for each in found]

    def error_groups(self, run: PipelineRun, only: ErrorFilter = EVERYTHING, *, limit: int) -> Sequence[ErrorGroup]:
        """Groups the errors by node, rule, column and kind, those of failed rows first, then the largest first, at most
        `limit`. `samples` are up to three
        different values: the first by row, the least and the greatest as text."""
        errors, conditions = self._matching(run, only)
        by = (errors.node_id, errors.rule, errors.column, errors.warning)
        cells = func.count()
        padded = func.lpad(cast(errors.row, Text), _ROW_DIGITS, "0")
        first = func.substr(func.min(func.concat(padded, errors.value)).filter(errors.value.is_not(None)), _VALUE_AT)
        samples = (first, func.min(errors.value), func.max(errors.value))
        query = select(*by, func.min(errors.error), cells, *samples).where(*conditions)
        ordered = query.group_by(*by).order_by(errors.warning, cells.desc(), *by).limit(limit)
        found = self.session.execute(ordered)
        return [
            ErrorGroup(node, rule, column, warned, error, count, _different(values))
            for node, rule, column, warned, error, count, *values in found
        ]

    def errors(
        self, run: PipelineRun, only: ErrorFilter = EVERYTHING, *, limit: int, after: ErrorPosition | None = None
    ) -> Sequence[RunError]:
        """Returns at most `limit` errors of a run and of the runs that it continues, by row, after `after`."""
        chosen = self._groups(run, only)
        return errors_by_row(
            self.session,
            run.root_run_id,
            self._chain(run) if chosen else [],
            chosen,
            limit=limit,
            after=after,
            file=only.file,
            stage=only.stage,
        )

    def _matching(self, run: PipelineRun, only: ErrorFilter) -> tuple[type[RunError], Sequence[ColumnElement[bool]]]:
        """The errors to select from, and the conditions."""
        # Ids instead of a subquery: with it, PostgreSQL sorts a million errors for the first page.
        chain = self._chain(run)
        if only.file is not None:
            few = few_of_file(self.session, run.root_run_id, self._groups(run, only), only.file)
            if few is not None:
                # No condition on what the groups select already: PostgreSQL would prefer an index of it.
                return few, (few.run_id.in_(chain), *ErrorFilter(stage=only.stage).conditions(few))
        of_run = (RunError.root_run_id == run.root_run_id, RunError.run_id.in_(chain))
        return RunError, (*of_run, *only.conditions(RunError))

    def _groups(self, run: PipelineRun, only: ErrorFilter) -> list[GroupKey]:
        return [group for group in groups_of(self.session, run.root_run_id) if only.selects(group)]

    def _chain(self, run: PipelineRun) -> Sequence[str]:
        """The ids of the runs whose errors are the run's: a retry includes the counts of its chain, so it includes the
        chain's errors too; not those of later retries."""
        chain = select(PipelineRun.id).where(
            PipelineRun.root_run_id == run.root_run_id,
            (PipelineRun.created_at <= run.created_at) | (PipelineRun.id == run.id),
        )
        return self.session.scalars(chain).all()

    def requested(self, pipeline_id: str, idempotency_key: str) -> str | None:
        """Returns the id of the run that was started with the idempotency key; None without one."""
        request = self.session.get(RunRequest, (pipeline_id, idempotency_key))
        return request.run_id if request is not None else None

    def remember_request(self, pipeline_id: str, idempotency_key: str, run_id: str) -> bool:
        """Stores the idempotency key of a run; returns False if the key was used before."""
        statement = insert(RunRequest).values(pipeline_id=pipeline_id, idempotency_key=idempotency_key, run_id=run_id)
        tied = statement.on_conflict_do_nothing().returning(RunRequest.run_id)
        return self.session.execute(tied).one_or_none() is not None


def _different(values: Sequence[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value is not None]


def position_of(error: RunError) -> ErrorPosition:
    """Returns the position of an error."""
    return ErrorPosition(
        error.row, error.column, error.rule, error.node_id, error.partition, error.stage, error.warning
    )
