"""DuckDB, locked down: a database in memory, with a temporary folder for data that does not fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from headrace.flows.query.duckdb_types import engine_type
from headrace.flows.query.limits import QueryLimits

INPUT = "input"

_LOCKED = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_persistent_secrets": "false",
    "default_null_order": "nulls_last",
}
_LEAST_ROOM = 1024 * 1024
_ROOM_SHARE = 0.5


def open_database(memory: int, threads: int, folder: Path | None) -> Any:
    """A connection to a new database with `memory` bytes. Without a `folder` nothing is written to disk."""
    import duckdb  # large, and most pipelines have no query

    room = 0 if folder is None else int(shutil.disk_usage(folder).free * _ROOM_SHARE)
    config: dict[str, Any] = {
        **_LOCKED,
        "memory_limit": f"{memory // 1024}KiB",
        "threads": str(threads),
        "temp_directory": "" if folder is None else str(folder),
        "max_temp_directory_size": f"{max(room, _LEAST_ROOM) // 1024}KiB",
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


@contextmanager
def database_with_spill_folder(means: QueryLimits, threads: int) -> Iterator[Any]:
    """A connection with a temporary folder; both are closed and removed at the end."""
    where = means.folder if means.folder is not None and means.folder.is_dir() else None
    with TemporaryDirectory(prefix="headrace-query-", dir=where, ignore_cleanup_errors=True) as folder:
        connection = open_database(means.memory_bytes, threads, Path(folder))
        try:
            yield connection
        finally:
            connection.close()


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def create_input(connection: Any, columns: Mapping[str, pl.DataType]) -> None:
    """Creates the input table of a query, empty. Every column must have a type of the engine."""
    listed = ", ".join(f"{quoted(name)} {engine_type(dtype)}" for name, dtype in columns.items())
    connection.execute(f"CREATE TEMP TABLE {quoted(INPUT)} ({listed})")


def describe_columns(connection: Any, sql: str) -> list[tuple[str, str]]:
    """The columns of a query and their DuckDB types. The query is planned, not run."""
    return [(str(row[0]), str(row[1])) for row in connection.execute(f"DESCRIBE {sql}").fetchall()]


def error_text(error: Exception) -> str:
    """The message of a DuckDB error, in one line."""
    first = next(iter(_lines(str(error))), type(error).__name__)
    return first.split(" Error: ", 1)[-1]


def _lines(text: str) -> Iterable[str]:
    return (line.strip() for line in text.splitlines() if line.strip())
