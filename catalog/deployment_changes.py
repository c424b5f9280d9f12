"""The list of pipelines whose Prefect deployment has to be looked at, for whoever brings Prefect in line.

There is no tenant filter here: like a running flow, the reconciler works by ids that the catalog itself wrote down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Delete, Engine, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.models import DeploymentChange, Pipeline

_LOCK_SPACE = 0x6465706C  # "depl"
_MAX_PROBLEM_CHARS = 1000
_AT_ONCE = 1000
_HOLDERS = threading.BoundedSemaphore(8)
"""Who holds a deployment holds a connection and asks for a second: never so many that the pool has none left."""


@dataclass(frozen=True, slots=True)
class DeployedPipeline:
    """What a deployment is made of, and which one was last registered (None: none).

    `live_version` None means that the pipeline cannot run and has no deployment.
    """

    id: str
    tenant_id: str
    name: str
    live_version: int | None
    live_schedule: dict[str, Any] | None
    scheduled_since: datetime | None
    execution_config: dict[str, Any]
    paused: bool
    """Its schedule is not to fire."""
    deployment_id: str | None
    change: str | None
    """The change that waits for Prefect; None when there is none."""


def note_change(session: Session, pipeline_id: str) -> None:
    """Has the pipeline's deployment looked at once the transaction is committed."""
    statement = insert(DeploymentChange).values(pipeline_id=pipeline_id, change=uuid4().hex)
    again = {"change": statement.excluded.change, "due_at": func.now(), "attempts": 0, "problem": None}
    session.execute(statement.on_conflict_do_update(index_elements=[DeploymentChange.pipeline_id], set_=again))


class DeploymentChanges:
    """The list itself. Every method is a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, limit: int) -> list[str]:
        """Ids of pipelines to look at now, the longest waiting first. One look at an index when there are none."""
        waiting = select(DeploymentChange.pipeline_id).where(DeploymentChange.due_at <= func.now())
        with self._engine.connect() as connection:
            return list(connection.scalars(waiting.order_by(DeploymentChange.due_at).limit(limit)))

    @contextmanager
    def alone(self, pipeline_id: str, *, wait: bool) -> Iterator[bool]:
        """Holds the pipeline's deployment against everybody else; gives False when somebody else does.

        No row is locked: who saves the pipeline meanwhile does not wait.
        """
        function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        key = {"space": _LOCK_SPACE, "id": pipeline_id}
        with _HOLDERS, self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            got = connection.scalar(text(f"SELECT {function}(:space, hashtext(:id))"), key)
            if got is False:
                yield False
                return
            try:
                yield True
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:space, hashtext(:id))"), key)

    def look(self, pipeline_id: str) -> DeployedPipeline | None:
        """The pipeline as it is now; None when there is none any more."""
        with self._engine.connect() as connection:
            found = connection.execute(_PIPELINES.where(Pipeline.id == pipeline_id)).one_or_none()
            return None if found is None else DeployedPipeline(**found._mapping)

    def runnable(self) -> Iterator[DeployedPipeline]:
        """Every pipeline that should have a deployment."""
        with self._engine.connect().execution_options(yield_per=_AT_ONCE) as connection:
            for found in connection.execute(_PIPELINES.where(Pipeline.live_version.is_not(None))):
                yield DeployedPipeline(**found._mapping)

    def change_of(self, pipeline_id: str) -> str | None:
        """The change that waits, also of a pipeline that is gone."""
        with self._engine.connect() as connection:
            return connection.scalar(select(DeploymentChange.change).where(DeploymentChange.pipeline_id == pipeline_id))

    def registered(self, pipeline_id: str, deployment_id: str | None, *, follows: str | None = None) -> None:
        """Remembers which deployment Prefect has of it, and that it has followed the change `follows`."""
        new = Pipeline.deployment_id.is_distinct_from(deployment_id)
        with self._engine.begin() as connection:
            connection.execute(
                update(Pipeline).where(Pipeline.id == pipeline_id, new).values(deployment_id=deployment_id)
            )
            if follows is not None:
                connection.execute(_followed(pipeline_id, follows))

    def done(self, pipeline_id: str, change: str) -> None:
        """Prefect has followed this change; a later one stays."""
        with self._engine.begin() as connection:
            connection.execute(_followed(pipeline_id, change))

    def later(self, pipeline_id: str, problem: str, seconds: float) -> None:
        """Prefect could not follow: tries again after so many seconds, and keeps why."""
        with self._engine.begin() as connection:
            connection.execute(
                update(DeploymentChange)
                .where(DeploymentChange.pipeline_id == pipeline_id)
                .values(
                    attempts=DeploymentChange.attempts + 1,
                    due_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds),
                    problem=problem[:_MAX_PROBLEM_CHARS],
                )
            )

    def attempts(self, pipeline_id: str) -> int:
        """How often Prefect could not follow the change that waits."""
        with self._engine.connect() as connection:
            found = connection.scalar(
                select(DeploymentChange.attempts).where(DeploymentChange.pipeline_id == pipeline_id)
            )
            return found or 0

    def enqueue(self, pipeline_ids: Sequence[str]) -> None:
        """Has these looked at, unless they wait already."""
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
    Pipeline.scheduled_since,
    Pipeline.execution_config,
    (Pipeline.status == "paused").label("paused"),
    Pipeline.deployment_id,
    DeploymentChange.change,
).outerjoin(DeploymentChange, DeploymentChange.pipeline_id == Pipeline.id)
"""The columns are the fields of DeployedPipeline."""
