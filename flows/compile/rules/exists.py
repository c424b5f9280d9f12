"""`exists`"""

from __future__ import annotations

import polars as pl

from flows.compile.broadcast import Broadcast
from flows.compile.keys import key_of_row, key_of_table
from flows.compile.rules.base import Column, Condition
from ir.problems import nearest
from ir.rules import Exists


def exists(rule: Exists, column: Column) -> Condition:
    """Fails when the value is in no row of the table, as it was when the run first looked."""
    table = column.scope.table(rule.table, "rule")
    key = table.field(rule.field)
    if key is None:
        message = f"The table {table.name} has no column '{rule.field}'"
        hint = nearest(rule.field, [each.name for each in table.fields])
        raise column.scope.fault("rule", "unknown_column", message, hint)
    broadcast = Broadcast(table, [key])

    def known(values: pl.Series) -> pl.Series:
        return values.is_in(broadcast.rows.select(key_of_table(key)).to_series().implode())

    ours = key_of_row(column.scope, column.name, key, "rule")
    found = ours.map_batches(known, return_dtype=pl.Boolean, is_elementwise=True)
    given = column.value.str.strip_chars() != "" if column.dtype == pl.String else column.value.is_not_null()
    fails = given & ~found.fill_null(value=False)
    return Condition(fails, f"Must exist in {table.name}.{key.name}", (broadcast,))
