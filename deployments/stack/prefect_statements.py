"""Statements that Prefect's server need not send, and values it need not take apart, with the same result.

The two requests of a registration sent 46 of them, at 1 to 2 ms of the server's one core each; 23 are left.
"""

from __future__ import annotations

import functools
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import select

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_LIVES_S = 1.0
"""A connection that answered so many seconds ago is taken to live."""


def spare_statements() -> None:
    """Does all of it, for this process; once, before Prefect's server starts."""
    know_the_database()
    load_together()
    trust_live_connections()
    write_plain_times()
    remove_only_what_is_there()


def know_the_database() -> None:
    """Lets Prefect take its database's address apart once, and not for each function that asks which database it is."""
    from prefect.server.database import dependencies

    known: Any = dependencies
    known.get_dialect = functools.cache(known.get_dialect)


def load_together() -> None:
    """Lets Prefect read a deployment in two statements and not in five: it reads one six times for each registration.

    Its queue and its limit come in the same row; the queue's pool is asked for unless the session has it.
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


def trust_live_connections() -> None:
    """Lets SQLAlchemy ask a connection whether it still lives when nobody has for a second, and not each time: three
    statements, for each session of a few."""
    from sqlalchemy.dialects.postgresql import asyncpg

    dialects: Any = asyncpg.PGDialect_asyncpg
    ask, heard = dialects.do_ping, WeakKeyDictionary[Any, float]()

    def do_ping(dialect: Any, connection: Any) -> bool:
        driver, now = connection.driver_connection, time.monotonic()
        # One that PostgreSQL has closed knows it without a question.
        if not driver.is_closed() and now - heard.get(driver, -_LIVES_S) < _LIVES_S:
            return True
        answered: bool = ask(dialect, connection)
        heard[driver] = now
        return answered

    dialects.do_ping = do_ping


def write_plain_times() -> None:
    """Gives asyncpg datetimes of Python: from those of pendulum, that Prefect makes, it subtracts its epoch, which
    pendulum answers with an interval of years, months and days."""
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


def remove_only_what_is_there() -> None:
    """Spares a new deployment, that has no schedules, being read twice over because they are removed."""
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
