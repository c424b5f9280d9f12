"""`lookup_join`: columns from a reference table."""

from __future__ import annotations

import polars as pl

from headrace.flows.compile.casting import check, key_of_row, key_of_table
from headrace.flows.compile.provenance import Indirect, Made, Origin, Provenance, TableColumn, named
from headrace.flows.compile.reference_tables import Broadcast, ReferenceTable, qualified
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.ir.ops import LookupJoin
from headrace.ir.problems import nearest
from headrace.ir.schema import Field

_MATCHED = "__hit"
"""Column that is true for rows with a match, between the two steps."""


def compile_lookup_join(op: LookupJoin, scope: Scope) -> tuple[Step, ...]:
    """Joins the table, keeping every row and their order, then applies `onMiss` to rows without a match."""
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
        pl.lit(value=True).alias(_MATCHED),
    ]

    def join(frame: pl.LazyFrame) -> pl.LazyFrame:
        rows = broadcast.rows.lazy().select(theirs)
        return frame.join(rows, on=names, how="left", maintain_order="left").drop(names)

    by = ", ".join(f"{pair.field} = {pair.key}" for pair in op.on)
    outputs = [each.output for each in op.select]
    label = f"look up {', '.join(outputs) or 'nothing'} in {table.name} by {by}"
    origins = dict.fromkeys([*outputs, _MATCHED], names[0])
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
    return first, _on_miss_step(op, scope, table)


def _provenance(op: LookupJoin, table: ReferenceTable) -> Provenance:
    """The values come from the table, and the keys decide from which of its rows."""
    keys: list[Origin] = [*named(pair.field for pair in op.on), *(TableColumn(table.name, pair.key) for pair in op.on)]
    by: tuple[tuple[Indirect, Origin], ...] = tuple(("join", key) for key in keys)
    made = {each.output: Made((TableColumn(table.name, each.column),), "identity", by) for each in op.select}
    return Provenance(made | {_MATCHED: Made(decided_by=by)})


def _on_miss_step(op: LookupJoin, scope: Scope, table: ReferenceTable) -> Step:
    """Applies `onMiss`. An error row reports each of its keys, because only together they have no match."""
    label = f"rows without a match: {op.on_miss}"
    hit = pl.col(_MATCHED).is_not_null()
    message = f"Not found in {table.name} ({', '.join(pair.key for pair in op.on)})"
    missing = tuple(check("lookup", pair.field, scope.schema[pair.field], ~hit, message) for pair in op.on)
    return Step(
        scope.node,
        scope.path,
        label,
        checks=missing if op.on_miss == "quarantine" else (),
        keep=hit if op.on_miss == "drop" else None,
        reshape=lambda frame: frame.drop(_MATCHED),
        origins={},
        provenance=None if op.on_miss == "null" else Provenance(rows={"filter": named([_MATCHED])}),
    )


def _column(table: ReferenceTable, scope: Scope, name: str, where: str) -> Field:
    field = table.field(name)
    if field is None:
        message = f"The table {table.name} has no column '{name}'"
        raise scope.fault(where, "unknown_column", message, nearest(name, [each.name for each in table.fields]))
    return field
