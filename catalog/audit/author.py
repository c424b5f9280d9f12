"""The author of transactions: set in the database session, so that the audit log names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, event


@dataclass(slots=True)
class Author:
    """The author of audit entries. `recorded` becomes true once an entry of theirs is committed."""

    user_id: str
    user_name: str
    request_id: str | None = None
    recorded: bool = False


_author: ContextVar[Author | None] = ContextVar("headrace_audit_author", default=None)


@contextmanager
def writing_as(author: Author) -> Iterator[Author]:
    """Attributes transactions that begin within the block to the author, in engines passed to `attach_author`; also in
    threads that inherit the context."""
    before = _author.set(author)
    try:
        yield author
    finally:
        _author.reset(before)


def attach_author(engine: Engine) -> None:
    """Sets the author in every transaction of the engine; without an author there is no extra statement."""
    event.listen(engine, "begin", _sign)
    event.listen(engine, "commit", _look_whether_recorded)


def _sign(connection: Connection) -> None:
    author = _author.get()
    if author is not None:
        connection.exec_driver_sql(
            "SELECT set_config('headrace.user_id', %s, true), set_config('headrace.user_name', %s, true), "
            "set_config('headrace.request_id', %s, true), set_config('headrace.audited', '', true)",
            (author.user_id, author.user_name, author.request_id or ""),
        )


def _look_whether_recorded(connection: Connection) -> None:
    author = _author.get()
    if author is not None and not author.recorded:
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # run the deferred triggers now
        audited = connection.exec_driver_sql("SELECT current_setting('headrace.audited', true)").scalar_one()
        author.recorded = audited == "yes"
