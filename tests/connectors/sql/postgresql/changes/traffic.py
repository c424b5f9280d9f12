"""A table that is being changed, and its checksum."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.connectors.sql.postgresql.changes.origin import Origin

COLUMNS = "id bigint {key}, amount integer, note text"


def begin(origin: Origin, rows: int = 60) -> None:
    """The table `t`; every second note is large enough to be left out of updates."""
    origin.make(f"CREATE TABLE t ({COLUMNS.format(key='PRIMARY KEY')})")
    origin.make("ALTER TABLE t ALTER note SET STORAGE EXTERNAL")
    origin.make(f"INSERT INTO t SELECT i, 0, repeat('n', i * 40) FROM generate_series(1, {rows}) i", "ANALYZE t")


def busy(origin: Origin, chance: Random, transactions: int, keys: int = 80) -> None:
    """Transactions of one to twenty changes each, some of which are rolled back; now and then a truncate."""
    with origin.connected() as connection:
        for _ in range(transactions):
            connection.execute("BEGIN")
            for _ in range(chance.choice((1, 2, 5, 20))):
                key, other = chance.randint(1, keys), chance.randint(1, keys)
                connection.execute(chance.choice((
                    f"INSERT INTO t VALUES ({key}, {other}, repeat('i', {other * 60})) ON CONFLICT (id) DO UPDATE "
                    "SET amount = EXCLUDED.amount",
                    f"UPDATE t SET amount = amount + {other} WHERE id = {key}",
                    f"UPDATE t SET note = repeat('u', {other * 80}) WHERE id = {key}",
                    f"UPDATE t SET amount = -amount WHERE id % {2 + key} = 0",
                    f"DELETE FROM t WHERE id = {key}",
                    f"UPDATE t SET id = {other} WHERE id = {key} AND NOT EXISTS (SELECT FROM t WHERE id = {other})",
                )).encode())  # fmt: skip
            if chance.random() < 0.03:
                connection.execute("TRUNCATE t")
            connection.execute("ROLLBACK" if chance.random() < 0.1 else "COMMIT")


def checksum(rows: Callable[[str], Any], table: str) -> Any:
    """Of all rows of a table."""
    said = f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM (SELECT id, amount, note FROM {table}) t"
    return rows(said)
