"""`lookup_join`"""

from __future__ import annotations

import polars as pl

from flows.compile.broadcast import Broadcast, ReferenceTable, qualified
from flows.compile.casting import check
from flows.compile.keys import key_of_row, key_of_table
from flows.compile.provenance import Indirect, Made, Origin, Provenance, TableColumn, named
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import LookupJoin
from ir.problems import nearest
from ir.schema import Field

_HIT = "__hit"
"""Column that is true for the rows with a match, until the second step has seen it."""


def compile_lookup_join(op: LookupJoin, scope: Scope) -> tuple[Step, ...]:
    """The join, which keeps every row in its place, and then what `onMiss` says of rows without a match."""
    table = scope.table(qualified(op.table), "table")
    keys = [_column(table, scope, pair.key, f"on[{index}].key") for index, pair in enumerate(op.on)]
    taken = [_column(table, scope, each.column, f"select[{index}]") for index, each in enumerate(op.select)]
    for index, each in enumerate(op.select):
        if each.output in scope.schema:
            message = f"There is already a column '{each.output}'"
            hint = f"give it another name: {{'column': '{each.column}', 'as': '{each.output}_2'}}"
            raise scope.fault(f"select[{index}]", "column_exists", message, hint)
    broadcast = Broadcast(table, keys, taken, unique=True)
    names = [f"__key{index}" for index in range(len(keys))]
    ours = [
        key_of_row(scope, pair.field, key, f"on[{index}].field").alias(names[index])
        for index, (pair, key) in enumerate(zip(op.on, keys, strict=True))
    ]
    theirs = [
        *(key_of_table(key).alias(name) for name, key in zip(names, keys, strict=True)),
        *(pl.col(each.column).alias(each.output) for each in op.select),
        pl.lit(value=True).alias(_HIT),
    ]

    def join(frame: pl.LazyFrame) -> pl.LazyFrame:
        rows = broadcast.rows.lazy().select(theirs)
        return frame.join(rows, on=names, how="left", maintain_order="left").drop(names)

    by = ", ".join(f"{pair.field} = {pair.key}" for pair in op.on)
    outputs = [each.output for each in op.select]
    label = f"look up {', '.join(outputs) or 'nothing'} in {table.name} by {by}"
    origins = dict.fromkeys([*outputs, _HIT], names[0])
    first = Step(
        scope.node,
        scope.path,
        label,
        columns=tuple(ours),
        reshape=join,
        origins=origins,
        reads=(broadcast,),
        provenance=_provenance(op, table),
    )
    return first, _settle(op, scope, table)


def _provenance(op: LookupJoin, table: ReferenceTable) -> Provenance:
    """What is found is the table's, and the keys decide which of its rows."""
    keys: list[Origin] = [*named(pair.field for pair in op.on), *(TableColumn(table.name, pair.key) for pair in op.on)]
    by: tuple[tuple[Indirect, Origin], ...] = tuple(("join", key) for key in keys)
    made = {each.output: Made((TableColumn(table.name, each.column),), "identity", by) for each in op.select}
    return Provenance(made | {_HIT: Made(decided_by=by)})


def _settle(op: LookupJoin, scope: Scope, table: ReferenceTable) -> Step:
    """What becomes of rows without a match; each of its keys is told, because only together they are at fault."""
    label = f"rows without a match: {op.on_miss}"
    hit = pl.col(_HIT).is_not_null()
    message = f"Not found in {table.name} ({', '.join(pair.key for pair in op.on)})"
    missing = tuple(check("lookup", pair.field, scope.schema[pair.field], ~hit, message) for pair in op.on)
    return Step(
        scope.node,
        scope.path,
        label,
        checks=missing if op.on_miss == "quarantine" else (),
        keep=hit if op.on_miss == "drop" else None,
        reshape=lambda frame: frame.drop(_HIT),
        origins={},
        provenance=None if op.on_miss == "null" else Provenance(rows={"filter": named([_HIT])}),
    )


def _column(table: ReferenceTable, scope: Scope, name: str, where: str) -> Field:
    field = table.field(name)
    if field is None:
        message = f"The table {table.name} has no column '{name}'"
        raise scope.fault(where, "unknown_column", message, nearest(name, [each.name for each in table.fields]))
    return field
