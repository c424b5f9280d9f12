"""Compares the keys of a table with all keys that its source has, and takes the rows of the others.

The keys come into a temporary table, so that memory is bounded whatever their number, and nothing is left of them when
the process dies. The rows are taken in one transaction with the ledger row that says so: an attempt that died before
it has changed nothing, and one that died after it is found in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.copy_rows import copy_rows, is_data_error
from headrace.connectors.postgresql.copy.precheck import precheck, reject_nul
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, find_row, record_publication
from headrace.connectors.postgresql.load.session import Session
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.modes.merge_keys import column_list, same_key
from headrace.connectors.postgresql.modes.scd2 import IS_CURRENT, LOAD_TIME, VALID_FROM, VALID_TO
from headrace.connectors.postgresql.tables.describe import LOAD_ID, Table, describe_table, first_line, split_name
from headrace.connectors.target import Resume
from headrace.ir.nodes.deletes import DeleteAction

_KEYS = sql.Identifier("pg_temp", "_headrace_keys")
_GONE = sql.Identifier("pg_temp", "_headrace_gone")
_SORT_IN_MEMORY = """
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 64 * 1024 * 1024
"""


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """What becomes of rows whose key `source` (for people) has no more; the fields are those of `SourceDeletes`.
    `source_node` is the node that loaded the rows which are compared, None for all rows of the table."""

    action: DeleteAction
    source: str
    source_node: str | None
    max_share: float
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found: how many `keys` the source has, how many `rows` of the table were compared, how many of
    them are `gone` from the source, and how many marked ones have `returned`."""

    keys: int
    rows: int
    gone: int
    returned: int = 0


class KeyComparison:
    """The comparison of one target in one run. `key` is its row in the ledger."""

    def __init__(self, spec: LoadSpec, key: LedgerKey, rule: DeleteRule) -> None:
        self._spec, self._ledger, self._rule = spec, key, rule
        self._key = tuple(spec.upsert_key)

    def examine(self) -> None:
        """Raises TargetError if the table has no column to mark."""
        if self._rule.column is not None:
            self._marking(describe_table(self._spec.database_url, self._spec.table))

    def preview(self) -> str:
        """The SQL that it will run, for people; does not connect."""
        gone = self._find_gone(self._alive(boolean=False)).as_string()
        return "\n".join(
            [
                f"-- then, of all keys that {self._rule.source} has, in one transaction:",
                f"COPY pg_temp._headrace_keys ({column_list(self._key).as_string()}) FROM STDIN (FORMAT binary);",
                f"{gone};",
                f"-- fails if they are more than {self._rule.max_share:.0%} of the rows",
                f"{self._take(sql.SQL('now()'), boolean=False).as_string()};",
            ]
        )

    def compare(self, keys: Callable[[], Iterator[pl.DataFrame]], on_compared: Callable[[Compared], Resume]) -> Resume:
        """Compares, unless the ledger has it already; gives the ledger row either way.

        `keys` gives all keys of the source, in frames of the key's columns of the table and ROW; it is called again
        when the database was lost. `on_compared` is called just before the commit and gives the ledger row. Raises
        TargetError: `too_many_deletes` when the rows that are gone are more than allowed, and what `keys` raises.
        """
        session = Session(self._spec)

        def attempt() -> Resume:
            connection = session.connection()
            done, table = find_row(connection, self._ledger), describe_table(connection, self._spec.table)
            connection.commit()  # what follows must be transactions of their own
            if done is not None:
                return done
            count = self._fill(connection, table, keys())
            with connection.transaction():
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                after = on_compared(self._settle(connection, table, count))
                if not record_publication(connection, self._ledger, after):
                    raise TargetError(
                        "ledger_moved",
                        f"The keys of {self._spec.table} are being compared by somebody else.",
                        "Another worker took the run over; this one stops.",
                    )
            return after

        try:
            return session.with_retries(attempt)
        finally:
            session.close()

    def _fill(self, connection: psycopg.Connection[Any], table: Table, frames: Iterator[pl.DataFrame]) -> int:
        """Fills the temporary table; gives how many keys it has. A key that the table cannot have is none of its."""
        columns = [column for column in (table.column(name) for name in self._key) if column is not None]
        make = sql.SQL("CREATE TEMP TABLE _headrace_keys AS SELECT {} FROM {} WITH NO DATA")
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_KEYS))
            connection.execute(make.format(column_list(self._key), table.identifier))
        count = 0
        for frame in frames:
            good, _ = precheck(frame, columns, self._key)
            try:
                with connection.transaction():
                    copy_rows(connection, _KEYS, good, columns)
            except psycopg.Error as error:
                if not is_data_error(error):
                    raise
                good, _ = reject_nul(good, columns)
                with connection.transaction():
                    copy_rows(connection, _KEYS, good, columns)
            count += good.height
        with connection.transaction():
            connection.execute(sql.SQL("ANALYZE {}").format(_KEYS))
        return count

    def _settle(self, connection: psycopg.Connection[Any], table: Table, keys: int) -> Compared:
        boolean = self._rule.column is not None and self._marking(table)
        connection.execute(_SORT_IN_MEMORY)
        alive = self._alive(boolean=boolean)
        counted = sql.SQL("SELECT count(*) FROM {} AS t WHERE {} AND {}")
        [(rows,)] = connection.execute(counted.format(self._target, alive, self._scope())).fetchall()
        connection.execute(self._find_gone(alive))
        connection.execute(sql.SQL("ANALYZE {}").format(_GONE))
        [(gone,)] = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_GONE)).fetchall()
        if gone > self._rule.max_share * rows:
            raise self._too_many(keys, rows, gone)
        taken = returned = 0
        try:
            if gone:
                taken = connection.execute(self._take(self._moment(connection, table), boolean=boolean)).rowcount
            if self._rule.column is not None:
                returned = connection.execute(self._give_back(boolean=boolean)).rowcount
        except psycopg.errors.ForeignKeyViolation as error:
            raise TargetError(
                "still_referenced",
                f"Rows of {self._spec.table} whose key {self._rule.source} has no more cannot be removed, because "
                f"another table refers to them: {first_line(error)}.",
                'Mark them ("action": "mark"), or let the foreign key cascade. What the run loaded is kept.',
            ) from None
        return Compared(keys, rows, taken, returned)

    def _too_many(self, keys: int, rows: int, gone: int) -> TargetError:
        has = "has no rows at all" if not keys else f"has {keys:,} keys"
        return TargetError(
            "too_many_deletes",
            f"{self._rule.source} {has}, and those of {gone:,} of {rows:,} rows of {self._spec.table} are not among "
            f"them: more than the {self._rule.max_share:.0%} that deletes.maxShare allows. None was taken; what the "
            "run loaded is kept.",
            "Look whether the source is complete. If those rows were deleted there, raise deletes.maxShare (1 allows "
            "all) and start a new run.",
        )

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(*split_name(self._spec.table))

    def _scope(self) -> sql.Composable:
        """The rows that are compared."""
        if self._rule.source_node is None:
            return sql.SQL("true")
        return sql.SQL(
            "t.{} IN (SELECT load_id FROM _headrace.loads WHERE pipeline_id = {} AND source_node = {})"
        ).format(sql.Identifier(LOAD_ID), sql.Literal(self._spec.pipeline_id), sql.Literal(self._rule.source_node))

    def _find_gone(self, alive: sql.Composable) -> sql.Composed:
        """Rows that this very run loaded are left to the next one: the source had their keys a moment ago, and may be
        read from a replica that lags. Rows with a null in the key cannot be compared."""
        return sql.SQL(
            "CREATE TEMP TABLE _headrace_gone ON COMMIT DROP AS SELECT {key} FROM {target} AS t WHERE {alive} AND "
            "{scope} AND {known} AND NOT EXISTS (SELECT FROM _headrace.loads l WHERE l.load_id = t.{load_id} AND "
            "l.root_run_id = {root}) AND NOT EXISTS (SELECT FROM {keys} AS k WHERE {same})"
        ).format(
            key=column_list(self._key, "t."),
            target=self._target,
            alive=alive,
            scope=self._scope(),
            known=sql.SQL(" AND ").join(sql.SQL("t.{} IS NOT NULL").format(sql.Identifier(n)) for n in self._key),
            load_id=sql.Identifier(LOAD_ID),
            root=sql.Literal(self._spec.root_run_id),
            keys=_KEYS,
            same=same_key(self._key, "k", "t"),
        )

    def _alive(self, *, boolean: bool) -> sql.Composable:
        """The rows that are not taken yet."""
        if self._rule.action == "close":
            return sql.SQL("t.{}").format(sql.Identifier(IS_CURRENT))
        if self._rule.column is None:
            return sql.SQL("true")
        return sql.SQL("t.{} IS NOT TRUE" if boolean else "t.{} IS NULL").format(sql.Identifier(self._rule.column))

    def _take(self, moment: sql.Composable, *, boolean: bool) -> sql.Composed:
        gone = sql.SQL("{} AS g WHERE {} AND {}").format(
            _GONE, same_key(self._key, "t", "g"), self._alive(boolean=boolean)
        )
        if self._rule.action == "remove":
            return sql.SQL("DELETE FROM {} AS t USING {}").format(self._target, gone)
        if self._rule.action == "close":
            # no version ends before it begins
            change = sql.SQL("{to} = greatest({moment}, t.{start}), {current} = false").format(
                to=sql.Identifier(VALID_TO),
                moment=moment,
                start=sql.Identifier(VALID_FROM),
                current=sql.Identifier(IS_CURRENT),
            )
        else:
            value = sql.SQL("true") if boolean else moment
            change = sql.SQL("{} = {}").format(sql.Identifier(self._rule.column or ""), value)
        return sql.SQL("UPDATE {} AS t SET {} FROM {}").format(self._target, change, gone)

    def _give_back(self, *, boolean: bool) -> sql.Composed:
        """Takes the mark from rows whose key the source has again."""
        column = sql.Identifier(self._rule.column or "")
        marked = sql.SQL("t.{} IS TRUE" if boolean else "t.{} IS NOT NULL").format(column)
        back = sql.SQL("UPDATE {} AS t SET {} = {} WHERE {} AND {} AND EXISTS (SELECT FROM {} AS k WHERE {})")
        value = sql.SQL("false" if boolean else "NULL")
        return back.format(self._target, column, value, marked, self._scope(), _KEYS, same_key(self._key, "k", "t"))

    def _moment(self, connection: psycopg.Connection[Any], table: Table) -> sql.Composable:
        """When the rows were found gone, in the column's type: for a history the time of the load, as of its new
        versions."""
        if self._rule.action == "remove":
            return sql.SQL("now()")
        closing = self._rule.action == "close"
        (time,) = connection.execute(LOAD_TIME, (self._spec.run_id, self._spec.target_node)).fetchone() or (None,)
        column = table.column(VALID_TO if closing else self._rule.column or "")
        assert column is not None
        return sql.SQL("CAST({} AS {})").format(sql.Literal(time), sql.SQL(column.sql_type))

    def _marking(self, table: Table) -> bool:
        """Whether the column that is marked is a boolean. Raises TargetError when it cannot be."""
        name = self._rule.column or ""
        column = table.column(name)
        if column is not None and column.writable and column.type_name == "bool":
            return True
        times = ("timestamptz", "timestamp", "date")
        if column is None or not column.writable or column.type_name not in times or not column.nullable:
            raise TargetError(
                "marked_column",
                f"{table.qualified} has no column '{name}' that a delete can be marked in.",
                f"ALTER TABLE {table.qualified} ADD COLUMN {sql.Identifier(name).as_string()} timestamptz;",
            )
        return False
