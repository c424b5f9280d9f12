"""Waiting for a table: shortly, again and again, and not for ever."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.locks.table_lock import lock_table, with_lock_retries

pytestmark = pytest.mark.postgres

TABLE = sql.Identifier("public", "t")


def test_whoever_keeps_the_table_is_named_when_patience_ends(database_url: str) -> None:
    with psycopg.connect(database_url, application_name="a long report") as reader:
        reader.execute("CREATE TABLE t (a int)")
        reader.commit()
        reader.execute("SELECT FROM t")
        with psycopg.connect(database_url) as connection:
            with pytest.raises(TargetError, match=r'"public"."t" could not be locked .* report \(pid \d+, since 2'):
                lock_table(connection, TABLE, "ACCESS EXCLUSIVE", patience=0)
            # The transaction goes on, with the settings it had.
            assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_it_is_tried_again_until_it_is_free(database_url: str) -> None:
    with psycopg.connect(database_url) as reader, psycopg.connect(database_url) as connection:
        reader.execute("CREATE TABLE t (a int)")
        reader.commit()
        reader.execute("SELECT FROM t")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            reader.rollback()

        drop = sql.SQL("DROP TABLE {}").format(TABLE)
        with_lock_retries(connection, TABLE, lambda: connection.execute(drop), sleep=pause)
        assert len(pauses) == 1
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
