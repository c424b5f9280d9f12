"""`schemaContract: evolve`: adds columns that the data has and the table lacks, to the table and to its catalog schema.

Column and metadata are added in one transaction. A table of another database has no schema in the catalog. Runs that
add the same column at the same time are serialized, and the second finds the column.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.engine import make_engine
from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.names import FieldDefinition
from headrace.connectors.datatypes import sql_type
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.tables.add_columns import add_columns
from headrace.connectors.postgresql.tables.describe import describe_table, first_line
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.job import Job
from headrace.ir.schema import Field, Schema

ATTEMPTS = 12
"""Each attempt waits at most five seconds for the table's lock, to bound the wait of queries queued after it."""

_PAUSE_S = 1.0


def evolve_elsewhere(database: Database, table: str, columns: Schema) -> list[str]:
    """Adds the columns to a table in the database of a connector and returns the names of those that were missing.
    Raises RunFailed."""
    try:
        added = add_columns(database, table, columns)
    except TargetError as error:
        raise RunFailed(f"{table} cannot get the columns of the data: {error}") from error
    _check(database, table, columns)
    return added


def evolve(job: Job, table: str, columns: Schema, *, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Adds the columns to a table of the tenant and returns the names of those that were missing. Raises RunFailed."""
    engine = make_engine(job.catalog_url or job.database_url, pool_size=1)
    try:
        with writing_as(Author(job.run_id, f"pipeline {job.pipeline.name}")):
            added = _with_lock_retries(engine, job, table, columns, sleep)
    finally:
        engine.dispose()
    _check(job.database_url, table, columns)
    return added


def _with_lock_retries(
    engine: Engine, job: Job, table: str, columns: Schema, sleep: Callable[[float], None]
) -> list[str]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with Session(engine) as session, session.begin():
                return _add(TenantCatalog(session, job.pipeline.tenant_id), table, columns)
        except Invalid as error:
            reasons = "; ".join(problem.message for problem in error.problems) or str(error)
            raise RunFailed(f"{table} cannot get the columns of the data: {reasons}") from error
        except (Conflict, OperationalError) as error:
            if attempt == ATTEMPTS or not _in_use(error):
                raise RunFailed(f"{table} cannot get the columns of the data: {_error_text(error)}") from error
        except DBAPIError as error:
            raise RunFailed(f"{table} cannot get the columns of the data: {_error_text(error)}") from error
        sleep(_PAUSE_S)
    raise AssertionError("attempts is at least 1")


def _add(catalog: TenantCatalog, table: str, columns: Schema) -> list[str]:
    schema_id = catalog.schemas.tables().get(table)
    schema = catalog.schemas.locked(schema_id) if schema_id is not None else None
    if schema is None:
        raise Conflict(f"{table} is not the table of a schema any more")
    there = {field.name for field in schema.fields}
    missing = [column for column in columns if column.name not in there]
    for column in missing:
        catalog.schemas.add_field(schema, _definition(column))
    return [column.name for column in missing]


def _definition(column: Field) -> FieldDefinition:
    return FieldDefinition(column.name, column.name, column.data_type, precision=column.precision, scale=column.scale)


def _check(database: Database, table: str, columns: Schema) -> None:
    """Raises RunFailed when another run has added the same column with another type in the meantime."""
    found = describe_table(database, table)
    for column in columns:
        now = found.column(column.name)
        if now is None or now.field.data_type != column.data_type:
            have = "nothing" if now is None else now.sql_type
            raise RunFailed(
                f"Column '{column.name}' of {table} should be {sql_type(column)} and is {have}: it was changed while "
                "this run began. Retry the run: it is planned again."
            )


def _in_use(error: BaseException) -> bool:
    """Whether the error is a lock timeout or a lost connection."""
    cause: BaseException | None = error.__cause__ if isinstance(error, Conflict) else error
    state = getattr(getattr(cause, "orig", None), "sqlstate", None)
    return cause is not None and (state is None or state == psycopg.errors.LockNotAvailable.sqlstate)


def _error_text(error: BaseException) -> str:
    origin = getattr(error, "orig", None)
    return first_line(origin if origin is not None else error)
