"""What PostgreSQL says when it refuses a table's change, as what the catalog refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from catalog.errors import Conflict, Invalid
from ir.problems import Problem

_STATE_FORBIDS = (
    errors.DependentObjectsStillExist,
    errors.DuplicateColumn,
    errors.DuplicateTable,
    errors.IntegrityError,
    errors.UndefinedColumn,
    errors.UndefinedTable,
)


@contextmanager
def refusals(path: str, *, data_is_there: bool = False) -> Iterator[None]:
    """Turns a refusal into Invalid at `path`, or into Conflict where what is stored is to blame: something else needs
    the column, a run holds the table, or (with `data_is_there`) a value does not fit."""
    try:
        yield
    except DBAPIError as error:
        cause = error.orig
        if not isinstance(cause, psycopg.Error):
            raise
        reason = cause.diag.message_primary or "the database refused it"
        if isinstance(cause, errors.LockNotAvailable):
            raise Conflict("The table is in use just now, by a run perhaps; try again when it is done") from error
        if isinstance(cause, _STATE_FORBIDS) or (data_is_there and isinstance(cause, psycopg.DataError)):
            detail = f" ({cause.diag.message_detail.splitlines()[0]})" if cause.diag.message_detail else ""
            raise Conflict(f"The table cannot be changed so: {reason}{detail}") from error
        if isinstance(cause, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError):
            raise Invalid(f"The database refuses it: {reason}", [Problem(path, "ddl", reason)]) from error
        raise
