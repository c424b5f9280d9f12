"""One binary COPY of a frame whose columns are as the encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from connectors.postgresql.encode import encode
from connectors.postgresql.tables import Column


def copy_binary(
    connection: psycopg.Connection[Any], table: sql.Composable, frame: pl.DataFrame, columns: Sequence[Column]
) -> None:
    """Copies the columns of the frame in the caller's transaction."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in encode(frame, columns):
            copy.write(part)
