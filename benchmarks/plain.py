"""Short scripts as a person would write them: a file into an existing table with polars, or with DuckDB and psql.

    python -m benchmarks.plain polars|duckdb FORMAT PATH URL DATASET
    python -m benchmarks.plain query SQL URL TABLE COLUMNS

`query` copies the result of a query of DuckDB into those columns of a table. polars parses with the dataset's types,
and two connections send what pgpq encodes in binary. DuckDB writes CSV, which psql copies; its own extension for
PostgreSQL is no part of its package. They check nothing and keep no ledger.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from benchmarks.datasets import DATASETS, Dataset, Table
from benchmarks.tables import name_of
from headrace.deployments.stack.database.installation import find_binaries

_CONNECTIONS, _BATCH = 2, 100_000
_DTYPES: dict[str, Any] = {
    "bigint": pl.Int64,
    "integer": pl.Int32,
    "smallint": pl.Int16,
    "double": pl.Float64,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "timestamptz": pl.Datetime("us", "UTC"),
}
_DUCKDB = {"parquet": "read_parquet({})", "jsonl": "read_json({}, format = 'newline_delimited')"}


class Shared:
    """Batches that several threads take one after the other."""

    def __init__(self, batches: Iterator[pl.DataFrame]) -> None:
        self._batches, self._lock = batches, threading.Lock()

    def take(self) -> pl.DataFrame | None:
        """The next batch; None at the end."""
        with self._lock:
            return next(self._batches, None)


def polars(file_format: str, path: str, url: str, dataset: Dataset) -> None:
    """Loads the file over two connections, one transaction each."""
    scan = _scan(file_format, path, dataset)
    batches = Shared(iter(scan.collect_batches(chunk_size=_BATCH, maintain_order=False)))
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for sending in [pool.submit(_send, batches, url, dataset) for _ in range(_CONNECTIONS)]:
            sending.result()


def _send(batches: Shared, url: str, dataset: Dataset) -> None:
    import pgpq

    copy = f"COPY {name_of(dataset)} ({', '.join(dataset.names)}) FROM STDIN (FORMAT binary)"
    if (batch := batches.take()) is None:
        return
    with psycopg.connect(url) as connection, connection.cursor().copy(copy.encode()) as into:
        encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.to_arrow().schema)
        into.write(encoder.write_header())
        while batch is not None:
            for part in batch.to_arrow().to_batches():
                into.write(encoder.write_batch(part))
            batch = batches.take()
        into.write(encoder.finish())


def _scan(file_format: str, path: str, dataset: Dataset) -> pl.LazyFrame:
    wanted = {each["name"]: _dtype(each) for each in dataset.fields}
    if file_format == "parquet":
        return pl.scan_parquet(path)
    if file_format == "jsonl":  # its reader knows no small integers and no decimals
        read = pl.scan_ndjson(path, schema={name: _in_json(dtype) for name, dtype in wanted.items()}).with_columns(
            pl.col(name).cast(dtype) for name, dtype in wanted.items() if dtype in (pl.Int32, pl.Int16)
        )
    else:  # a decimal, a date and a time with a zone are parsed after reading; the rest while reading
        types = {name: _as_read(dtype) for name, dtype in wanted.items()}
        read = pl.scan_csv(path, schema=types, null_values=dataset.null or None)
    stamps = [name for name, dtype in wanted.items() if isinstance(dtype, pl.Datetime)]
    return read.with_columns(
        *(pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC") for name in stamps),
        *(pl.col(name).cast(dtype) for name, dtype in wanted.items() if isinstance(dtype, pl.Decimal)),
        *(pl.col(name).str.to_date() for name, dtype in wanted.items() if dtype == pl.Date),
    )


def _dtype(field: dict[str, Any]) -> Any:
    if field["dataType"] == "decimal":
        return pl.Decimal(field["precision"], field["scale"])
    return _DTYPES.get(field["dataType"], pl.String)


def _as_read(dtype: Any) -> Any:
    return pl.String if isinstance(dtype, pl.Datetime | pl.Decimal) or dtype == pl.Date else dtype


def _in_json(dtype: Any) -> Any:
    if isinstance(dtype, pl.Decimal):
        return pl.Float64
    return pl.Int64 if dtype in (pl.Int32, pl.Int16) else _as_read(dtype)


def duckdb(file_format: str, path: str, url: str, dataset: Dataset) -> None:
    """Lets DuckDB write the file as CSV into psql."""
    files = _DUCKDB.get(file_format, f"read_csv({{}}, all_varchar = true, nullstr = '{dataset.null}')")
    columns = ", ".join(dataset.names)
    query(f"SELECT {columns} FROM {files.format(repr(path))}", url, name_of(dataset), columns)


def query(select: str, url: str, table: str, columns: str) -> None:
    """Lets DuckDB write the rows of a query as CSV into psql."""
    import duckdb as engine

    if sys.argv[-1] == "--write":
        engine.sql("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        engine.sql(f"COPY ({select}) TO '/dev/stdout' (FORMAT csv, HEADER false)")
        return
    copy = f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)"
    with subprocess.Popen([sys.executable, *sys.orig_argv[1:], "--write"], stdout=subprocess.PIPE) as writing:
        subprocess.run([find_binaries() / "psql", url, "-qc", copy], stdin=writing.stdout, check=True)
    if writing.returncode:
        raise SystemExit("DuckDB failed")


def command(tool: str, file_format: str, path: Path | str, url: str, dataset: Dataset) -> list[str]:
    """The command that runs one of the scripts."""
    return [sys.executable, "-m", "benchmarks.plain", tool, file_format, str(path), url, dataset.name]


def query_command(select: str, url: str, table: Table) -> list[str]:
    """The command that copies the result of DuckDB's query."""
    return [sys.executable, "-m", "benchmarks.plain", "query", select, url, name_of(table), ", ".join(table.names)]


def main() -> None:
    tool, file_format, path, url, name = sys.argv[1:6]
    if tool == "query":
        query(*sys.argv[2:6])
        return
    (polars if tool == "polars" else duckdb)(file_format, path, url, DATASETS[name])


if __name__ == "__main__":
    main()
