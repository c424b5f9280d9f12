"""Runs a query over all rows: they are loaded into the engine once, and the result is read in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import finalize

import polars as pl
import pyarrow as pa
from polars.exceptions import ComputeError
from polars.io.plugins import register_io_source

from headrace.connectors.batch_size import in_batches
from headrace.flows.query.limits import QUERY_LIMITS, QueryLimits
from headrace.flows.query.sandbox import INPUT, create_input, database_with_spill_folder, error_text, quoted

if TYPE_CHECKING:  # its parser takes a while to load
    from headrace.ir.sql.queries.query import Query

_BATCH_ROWS = 65_536
_FEW_ROWS, _FEW_RESULTS = 512, 2048
"""Rows that are read, and those of the result that the engine gives, at a time; its own vectors have as many."""
_POLL_S = 0.2
_FOREVER = {pl.Date: (1 << 31) - 1, pl.Datetime: (1 << 63) - 1}
"""The engine's physical value of an infinite date or timestamp; negative for -infinity."""


class QueryFailed(ComputeError):
    """The query cannot be computed; the text is for a person."""


class QueryStopped(Exception):
    """The query was interrupted because the run stops."""


def run(query: Query, sql: str, rows: pl.LazyFrame, made: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The result of `sql` over `rows`, which have the columns that the query reads; `made` is
    its schema. The rows are loaded now; the query runs when the result is collected. Both raise QueryFailed and
    QueryStopped."""
    means = QUERY_LIMITS.get() or QueryLimits()
    open_for = ExitStack()
    try:
        connection = open_for.enter_context(database_with_spill_folder(means, _threads(query, means)))
        with _interruptible(connection, means):
            _read(connection, rows, means)
    except BaseException:
        open_for.close()
        raise
    schema = pl.Schema(made)

    def results(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        left = limit
        with _interruptible(connection, means):
            for batch in _batches(connection, sql, schema):
                part = batch if left is None else batch.head(left)
                left = None if left is None else left - part.height
                part = part if columns is None else part.select(columns)
                yield part if predicate is None else part.filter(predicate)
                if left == 0:
                    return

    frame = register_io_source(results, schema=schema)
    finalize(results, open_for.close)
    return frame


def _threads(query: Query, means: QueryLimits) -> int:
    """One if the result may depend on the order in which rows are processed: a retry must give the same."""
    if query.order_sensitive:
        return 1
    return means.threads or max(1, pl.thread_pool_size())


def _read(connection: Any, rows: pl.LazyFrame, means: QueryLimits) -> None:
    schema = rows.collect_schema()
    create_input(connection, schema)
    names = ", ".join(map(quoted, schema.names()))
    few = rows.collect_batches(chunk_size=_FEW_ROWS, maintain_order=True)
    for batch in map(pl.concat, in_batches(few, pl.DataFrame.estimated_size, _BATCH_ROWS)):
        if means.stopped.is_set():
            raise QueryStopped
        _check_times(batch)
        connection.register("batch", batch.to_arrow())
        connection.execute(f"INSERT INTO {quoted(INPUT)} SELECT {names} FROM batch")  # noqa: S608 - names are quoted
        connection.unregister("batch")


def _check_times(batch: pl.DataFrame) -> None:
    """Raises QueryFailed for times of day with parts of a microsecond, which the engine does not have."""
    for column in batch:
        for leaf in _leaves(column):
            if leaf.dtype == pl.Time and (leaf.to_physical() % 1_000 != 0).any():
                message = f"'{column.name}' has times of day with parts of a microsecond, which a query cannot read"
                raise QueryFailed(f"{message}: truncate them before, or drop the column")


def _leaves(values: pl.Series) -> Iterator[pl.Series]:
    """The values as columns without lists and structs: the elements of lists, and each field of structs."""
    dtype = values.dtype
    if isinstance(dtype, pl.Struct):
        for name in dtype.to_schema():
            yield from _leaves(values.struct.field(name))
    elif isinstance(dtype, pl.List):
        yield from _leaves(values.list.explode())
    elif isinstance(dtype, pl.Array):
        yield from _leaves(values.arr.explode())
    else:
        yield values


def _batches(connection: Any, sql: str, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    few = connection.sql(sql).to_arrow_reader(_FEW_RESULTS)
    for batches in in_batches(few, lambda batch: int(batch.nbytes), _BATCH_ROWS):
        frame = pl.DataFrame(pl.from_arrow(batches))
        frame = frame.select(_as(frame.schema[name], dtype, name) for name, dtype in schema.items())
        if frame.schema != schema:
            raise QueryFailed(f"The query gives {frame.schema}, but was planned as {schema}")
        _check_finite(frame)
        yield frame


def _as(have: pl.DataType, want: pl.DataType, name: str) -> pl.Expr:
    """The column in type `want`: the engine may name the time zone differently."""
    value = pl.col(name)
    if isinstance(have, pl.Datetime) and isinstance(want, pl.Datetime) and have.time_zone and want.time_zone:
        return value.dt.convert_time_zone(want.time_zone)
    return value.cast(want) if isinstance(have, pl.List) and have != want else value


def _check_finite(frame: pl.DataFrame) -> None:
    for column in frame:
        for leaf in _leaves(column):
            forever = _FOREVER.get(leaf.dtype.base_type())
            if forever is not None and (leaf.to_physical().abs() >= forever).any():
                message = f"'{column.name}' is infinite in a row, which no date or timestamp here can be"
                raise QueryFailed(message)


@contextmanager
def _interruptible(connection: Any, means: QueryLimits) -> Iterator[None]:
    """Interrupts the engine when the run stops, and turns its errors into QueryStopped and QueryFailed."""
    import duckdb

    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_S):
            if means.stopped.is_set():
                connection.interrupt()

    watching = threading.Thread(target=watch, name="query-stop", daemon=True)
    watching.start()
    try:
        yield
    except duckdb.InterruptException:
        raise QueryStopped from None
    except duckdb.OutOfMemoryException as error:
        raise QueryFailed(_out_of_memory(means, error)) from None
    except (OSError, pa.ArrowException) as error:  # of the engine too, where it writes its result as Arrow
        if "Out of Memory" not in str(error):
            raise
        raise QueryFailed(_out_of_memory(means, error)) from None
    except duckdb.Error as error:
        raise QueryFailed(error_text(error)) from None
    finally:
        done.set()
        watching.join()


def _out_of_memory(means: QueryLimits, error: Exception) -> str:
    memory = f"{means.memory_bytes / 1e9:.1f} GB"
    if "max_temp_directory_size" in str(error):
        return f"the query needed more than {memory} of memory and all disk space for temporary files"
    return (
        f"the query needed more than {memory} of memory: sort, join or collect fewer or narrower rows, or raise "
        "HEADRACE_RUN_MEMORY_LIMIT, of which a query gets a third, or HEADRACE_QUERY_MEMORY_MB"
    )
