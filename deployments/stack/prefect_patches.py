"""Patches of Prefect's server that save SQL statements and conversions, with the same result."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import select

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_LIVES_S = 1.0
"""A connection that answered this recently is not pinged."""


def patch_prefect() -> None:
    """Applies all patches to this process; called once, before Prefect's server starts."""
    join_deployment_queries()
    ping_idle_connections_only()
    bind_plain_datetimes()
    skip_empty_schedule_deletes()


def join_deployment_queries() -> None:
    """Reads a deployment in two statements instead of five; Prefect reads it six times for each registration.

    Queue and concurrency limit are joined; the queue's pool is queried unless the session has it.
    """
    from prefect.server.database.orm_models import Deployment, WorkQueue

    for relationship, lazy in (
        (Deployment.work_queue, "joined"),
        (Deployment.global_concurrency_limit, "joined"),
        (WorkQueue.work_pool, "immediate"),
    ):
        link: Any = relationship.property
        link.lazy, link.strategy_key = lazy, (("lazy", lazy),)
        link.strategy = link._get_strategy(link.strategy_key)


def ping_idle_connections_only() -> None:
    """Has SQLAlchemy ping a connection only when it was idle for a second: a ping is three statements, for each session
    with few of its own."""
    from sqlalchemy.dialects.postgresql import asyncpg

    dialects: Any = asyncpg.PGDialect_asyncpg
    ask, heard = dialects.do_ping, WeakKeyDictionary[Any, float]()

    def do_ping(dialect: Any, connection: Any) -> bool:
        driver, now = connection.driver_connection, time.monotonic()
        # A connection closed by PostgreSQL is known as closed.
        if not driver.is_closed() and now - heard.get(driver, -_LIVES_S) < _LIVES_S:
            return True
        answered: bool = ask(dialect, connection)
        heard[driver] = now
        return answered

    dialects.do_ping = do_ping


def bind_plain_datetimes() -> None:
    """Passes plain datetimes to asyncpg instead of pendulum's: asyncpg subtracts an epoch, for which pendulum computes
    a slow interval of years, months and days."""
    from prefect.server.utilities import database

    timestamps: Any = database.Timestamp
    checked = timestamps.process_bind_param

    def process_bind_param(kind: Any, value: datetime | None, dialect: Any) -> datetime | None:
        value = checked(kind, value, dialect)
        if value is None or type(value) is datetime:
            return value
        clock = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
        return datetime(*clock, tzinfo=value.tzinfo, fold=value.fold)

    timestamps.process_bind_param = process_bind_param


def skip_empty_schedule_deletes() -> None:
    """Skips the deletion of schedules for a deployment without any, which would read the deployment twice."""
    from prefect.server import models
    from prefect.server.database.orm_models import DeploymentSchedule

    deployments: Any = models.deployments
    remove = deployments.delete_schedules_for_deployment

    async def delete_schedules_for_deployment(*, session: AsyncSession, deployment_id: UUID) -> bool:
        schedules = select(DeploymentSchedule.id).where(DeploymentSchedule.deployment_id == deployment_id)
        if await session.scalar(schedules.limit(1)) is None:
            return False
        removed: bool = await remove(session=session, deployment_id=deployment_id)
        return removed

    deployments.delete_schedules_for_deployment = delete_schedules_for_deployment
