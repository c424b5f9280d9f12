"""The queue of pipelines and replications whose Prefect deployment has to be updated, for the reconciler.

Their ids distinguish them. There is no tenant filter here: the reconciler uses ids from the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Delete, Engine, delete, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from headrace.catalog.advisory_locks import DEPLOYMENT_LOCKS, advisory_lock
from headrace.catalog.models import DeploymentChange, Pipeline, Replication

_MAX_PROBLEM_CHARS = 1000
_AT_ONCE = 1000
_REPLICATION = "repl_"
"""Begins the ids of replications."""


@dataclass(frozen=True, slots=True)
class DeployedPipeline:
    """A pipeline or a replication as its deployment needs it. `deployment_id` is the deployment registered last, None
    without one.

    `live_version` is None for a pipeline that cannot run and has no deployment.
    """

    id: str
    tenant_id: str
    name: str
    live_version: int | None
    live_schedule: dict[str, Any] | None
    live_parameters: list[dict[str, Any]] | None
    scheduled_since: datetime | None
    execution_config: dict[str, Any]
    paused: bool
    """Whether its schedule is paused."""
    deployment_id: str | None
    updated_at: datetime
    change: str | None
    """The pending change; None without one."""


def note_change(session: Session, pipeline_id: str) -> None:
    """Queues the pipeline, in the caller's transaction."""
    statement = insert(DeploymentChange).values(pipeline_id=pipeline_id, change=uuid4().hex)
    again = {"change": statement.excluded.change, "due_at": func.now(), "attempts": 0, "problem": None}
    session.execute(statement.on_conflict_do_update(index_elements=[DeploymentChange.pipeline_id], set_=again))


class DeploymentChanges:
    """The queue. Every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, limit: int) -> list[str]:
        """Returns ids of pipelines that are due, the longest waiting first. Reads only an index if there are none."""
        waiting = select(DeploymentChange.pipeline_id).where(DeploymentChange.due_at <= func.now())
        with self._engine.connect() as connection:
            return list(connection.scalars(waiting.order_by(DeploymentChange.due_at).limit(limit)))

    @contextmanager
    def alone(self, pipeline_id: str, *, wait: bool) -> Iterator[bool]:
        """Holds the lock of the pipeline's deployment. Yields False if it is held elsewhere and `wait` is false.

        No row is locked, so the pipeline can be saved meanwhile.
        """
        with advisory_lock(self._engine, DEPLOYMENT_LOCKS, pipeline_id, wait=wait) as mine:
            yield mine

    def look(self, pipeline_id: str) -> DeployedPipeline | None:
        """Returns the pipeline as it is now; None if it no longer exists."""
        replicates = pipeline_id.startswith(_REPLICATION)
        query = _REPLICATIONS.where(Replication.id == pipeline_id) if replicates else None
        if query is None:
            query = _PIPELINES.where(Pipeline.id == pipeline_id)
        with self._engine.connect() as connection:
            found = connection.execute(query).one_or_none()
            return None if found is None else DeployedPipeline(**found._mapping)

    def runnable(self) -> Iterator[DeployedPipeline]:
        """Yields every pipeline and replication that should have a deployment."""
        with self._engine.connect().execution_options(yield_per=_AT_ONCE) as connection:
            for query in (_PIPELINES.where(Pipeline.live_version.is_not(None)), _REPLICATIONS):
                for found in connection.execute(query):
                    yield DeployedPipeline(**found._mapping)

    def change_of(self, pipeline_id: str) -> str | None:
        """Returns the pending change, also of a pipeline that no longer exists; None without one."""
        with self._engine.connect() as connection:
            return connection.scalar(select(DeploymentChange.change).where(DeploymentChange.pipeline_id == pipeline_id))

    def registered(self, pipeline_id: str, deployment_id: str | None, *, follows: str | None = None) -> None:
        """Stores the id of the pipeline's deployment in Prefect, and removes the change `follows` from the queue."""
        model: type[Pipeline | Replication] = Replication if pipeline_id.startswith(_REPLICATION) else Pipeline
        new = model.deployment_id.is_distinct_from(deployment_id)
        with self._engine.begin() as connection:
            connection.execute(update(model).where(model.id == pipeline_id, new).values(deployment_id=deployment_id))
            if follows is not None:
                connection.execute(_followed(pipeline_id, follows))

    def done(self, pipeline_id: str, change: str) -> None:
        """Removes this change from the queue; a later change of the pipeline stays."""
        with self._engine.begin() as connection:
            connection.execute(_followed(pipeline_id, change))

    def later(self, pipeline_id: str, problem: str | None, seconds: float) -> None:
        """Retries the change after `seconds`. `problem` says why it failed; None if it was only too early."""
        with self._engine.begin() as connection:
            connection.execute(
                update(DeploymentChange)
                .where(DeploymentChange.pipeline_id == pipeline_id)
                .values(
                    attempts=DeploymentChange.attempts + 1,
                    due_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds),
                    problem=problem and problem[:_MAX_PROBLEM_CHARS],
                )
            )

    def refused(self) -> list[tuple[str, str]]:
        """Returns (name, problem) of every pipeline whose deployment failed."""
        name = func.coalesce(Pipeline.name, Replication.name)
        query = (
            select(name, DeploymentChange.problem)
            .outerjoin(Pipeline, Pipeline.id == DeploymentChange.pipeline_id)
            .outerjoin(Replication, Replication.id == DeploymentChange.pipeline_id)
            .where(DeploymentChange.problem.is_not(None), name.is_not(None))
            .order_by(name)
        )
        with self._engine.connect() as connection:
            return [(name, problem or "") for name, problem in connection.execute(query)]

    def attempts(self, pipeline_id: str) -> int:
        """Returns the number of failed attempts of the pending change."""
        with self._engine.connect() as connection:
            found = connection.scalar(
                select(DeploymentChange.attempts).where(DeploymentChange.pipeline_id == pipeline_id)
            )
            return found or 0

    def enqueue(self, pipeline_ids: Sequence[str]) -> None:
        """Queues these pipelines, unless they are queued already."""
        if not pipeline_ids:
            return
        waiting = [{"pipeline_id": pipeline_id, "change": uuid4().hex} for pipeline_id in pipeline_ids]
        with self._engine.begin() as connection:
            connection.execute(insert(DeploymentChange).on_conflict_do_nothing(), waiting)


def _followed(pipeline_id: str, change: str) -> Delete:
    return delete(DeploymentChange).where(
        DeploymentChange.pipeline_id == pipeline_id, DeploymentChange.change == change
    )


_PIPELINES = select(
    Pipeline.id,
    Pipeline.tenant_id,
    Pipeline.name,
    Pipeline.live_version,
    Pipeline.live_schedule,
    Pipeline.live_parameters,
    Pipeline.scheduled_since,
    Pipeline.execution_config,
    (Pipeline.status == "paused").label("paused"),
    Pipeline.deployment_id,
    Pipeline.updated_at,
    DeploymentChange.change,
).outerjoin(DeploymentChange, DeploymentChange.pipeline_id == Pipeline.id)
"""The columns are the fields of DeployedPipeline."""

_REPLICATIONS = select(
    Replication.id,
    Replication.tenant_id,
    Replication.name,
    Replication.version.label("live_version"),
    Replication.schedule.label("live_schedule"),
    null().label("live_parameters"),
    Replication.scheduled_since,
    literal({}, JSONB).label("execution_config"),
    (Replication.status == "paused").label("paused"),
    Replication.deployment_id,
    Replication.updated_at,
    DeploymentChange.change,
).outerjoin(DeploymentChange, DeploymentChange.pipeline_id == Replication.id)
"""The same."""
