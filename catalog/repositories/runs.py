"""A tenant's runs as they are read: one, the newest, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from catalog.models import PipelineRun, RunError, RunRequest
from catalog.repositories.base import TenantRepository

_ERROR_KEY = (RunError.row, RunError.column, RunError.rule, RunError.node_id, RunError.partition, RunError.stage)


class ErrorPosition(NamedTuple):
    """A place in a run's errors, which are listed by row."""

    row: int
    column: str
    rule: str
    node_id: str
    partition: int
    stage: int


class RunRepository(TenantRepository[PipelineRun]):
    """Runs of the tenant's pipelines."""

    model = PipelineRun
    noun = "run"

    def of_pipeline(self, pipeline_id: str, run_id: str) -> PipelineRun | None:
        """The run, if it is one of that pipeline."""
        run = self.get(run_id)
        return run if run is not None and run.pipeline_id == pipeline_id else None

    def newest(self, pipeline_id: str, limit: int) -> Sequence[PipelineRun]:
        """The newest runs of a pipeline that the catalog knows."""
        return self.session.scalars(
            self.owned()
            .where(PipelineRun.pipeline_id == pipeline_id)
            .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
            .limit(limit)
        ).all()

    def newest_with_status(self, pipeline_id: str, status: str) -> PipelineRun | None:
        """The newest run of a pipeline that ended so."""
        query = self.owned().where(PipelineRun.pipeline_id == pipeline_id, PipelineRun.status == status)
        run: PipelineRun | None = self.session.scalar(query.order_by(PipelineRun.created_at.desc()).limit(1))
        return run

    def retries_of(self, run_id: str) -> Sequence[PipelineRun]:
        """The runs that were started to retry this one, oldest first."""
        query = self.owned().where(PipelineRun.retry_of == run_id).order_by(PipelineRun.created_at)
        return self.session.scalars(query).all()

    def error_count(self, run: PipelineRun) -> int:
        """How many cells were rejected in the run and the runs it continues."""
        count = select(func.count()).select_from(RunError).where(*self._errors_of(run))
        return self.session.scalar(count) or 0

    def errors(self, run: PipelineRun, *, limit: int, after: ErrorPosition | None = None) -> Sequence[RunError]:
        """Rejected cells of the run and the runs it continues, by row; `limit` at most, behind `after`."""
        query = select(RunError).where(*self._errors_of(run)).order_by(*_ERROR_KEY).limit(limit)
        if after is not None:
            query = query.where(tuple_(*_ERROR_KEY) > tuple(after))
        return self.session.scalars(query).all()

    def _errors_of(self, run: PipelineRun) -> tuple[ColumnElement[bool], ...]:
        # A retry counts what its chain committed, so it shows the chain's errors too; not those of later retries.
        chain = select(PipelineRun.id).where(
            PipelineRun.root_run_id == run.root_run_id,
            (PipelineRun.created_at <= run.created_at) | (PipelineRun.id == run.id),
        )
        return RunError.root_run_id == run.root_run_id, RunError.run_id.in_(chain)

    def requested(self, pipeline_id: str, idempotency_key: str) -> str | None:
        """The run that key started, if it started one."""
        request = self.session.get(RunRequest, (pipeline_id, idempotency_key))
        return request.run_id if request is not None else None

    def remember_request(self, pipeline_id: str, idempotency_key: str, run_id: str) -> bool:
        """Ties the key to the run; False when it was tied before."""
        statement = insert(RunRequest).values(pipeline_id=pipeline_id, idempotency_key=idempotency_key, run_id=run_id)
        tied = statement.on_conflict_do_nothing().returning(RunRequest.run_id)
        return self.session.execute(tied).one_or_none() is not None


def position_of(error: RunError) -> ErrorPosition:
    """Where a listed error stands."""
    return ErrorPosition(error.row, error.column, error.rule, error.node_id, error.partition, error.stage)
