"""A value of a change is the value that a read of the table gives, type by type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from headrace.connectors.source import ROW
from headrace.connectors.sql.postgresql.changes.source import ChangeSource
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.ir.schema import Field
from tests.connectors.reading import batches
from tests.connectors.sql.postgresql.changes.origin import Origin
from tests.connectors.sql.postgresql.values import ERROR, TYPES, VALUES

pytestmark = pytest.mark.postgres


def read(
    origin: Origin, fields: tuple[Field, ...], *, changes: bool
) -> tuple[pl.DataFrame, list[tuple[int, str, str, str]]]:
    """The rows by `n`, and the rejected cells by `n`."""
    settings: dict[str, Any] = {"table": "public.t", "key": ["n"]} | ({"changes": {}} if changes else {})
    source = POSTGRESQL.source(replace(origin.context(**settings), fields=fields))
    if isinstance(source, ChangeSource):
        source.begin_at(origin.cursors)
    found = source.discover(max_partitions=1)
    given = batches(source, found, found.partitions[0])
    frame = pl.concat([batch.frame for batch in given]).drop("op", ROW, strict=False).sort("n")
    rejects = pl.concat([batch.rejects for batch in given])
    # A row's number is its place among all rows, which were added in the order of `n`.
    first = found.partitions[0].first_row
    return frame, sorted((row - first, column, value, rule) for row, column, value, _, rule in rejects.rows())


def values_of(version: int) -> dict[str, list[tuple[str, Any]]]:
    """The values that a server of that version can have."""
    new = ("numeric(5,-2)", "numeric(3,5)") if version < 15 else ()
    known = {kind: list(values) for kind, values in VALUES.items() if kind not in ("money", *new)}
    if version < 17:
        known["interval"] = [each for each in known["interval"] if "infinity" not in each[0]]
    return known


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_each_value_of_a_change_is_that_of_the_table(origin: Origin, identity: str) -> None:
    origin.make(*(each.format(schema="public") for each in TYPES), user="postgres")
    known = values_of(origin.version)
    kinds = [kind.format(schema="public") for kind in known]
    columns = ", ".join(f"v{at} {kind}" for at, kind in enumerate(kinds))
    origin.make(f"CREATE TABLE t (n int PRIMARY KEY, {columns})", f"ALTER TABLE t REPLICA IDENTITY {identity}")
    origin.run()
    number = 0
    with origin.connected() as connection, connection.transaction():
        for at, (kind, values) in enumerate(zip(kinds, known.values(), strict=True)):
            for text, _ in values:
                connection.execute(f"INSERT INTO t (n, v{at}) VALUES (%s, %s::{kind})".encode(), (number, text))
                number += 1
        connection.execute("INSERT INTO t (n) VALUES (%s)", (number,))
    wrong = sum(expected is ERROR for values in known.values() for _, expected in values)
    as_text = (Field("n", "bigint"), *(Field(f"v{at}", "text") for at in range(len(kinds))))
    for fields, errors in (((), wrong), (as_text, 0)):
        changed, refused = read(origin, fields, changes=True)
        plain, refused_plain = read(origin, fields, changes=False)
        assert changed.schema == plain.schema
        assert changed.equals(plain)
        assert refused == refused_plain
        assert len(refused) == errors
        assert changed.height + errors == number + 1
