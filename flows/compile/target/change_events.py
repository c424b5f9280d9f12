"""The step that turns change events into rows: an operation and the columns of the row that it changes.

An event is flat (a column `op` or `__op` beside the columns of the table) or a Debezium envelope (`op`, with `before`
and `after` as JSON). Of a delete only the key is kept: the other values of a deleted row are not checked. A
history also keeps its `valid_from`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from headrace.connectors.postgresql.modes.scd2 import VALID_FROM
from headrace.connectors.postgresql.tables.describe import STAGED_OP, TRUNCATE
from headrace.connectors.source import ROW
from headrace.flows.compile.provenance import Provenance, named, of_expression
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check, Step
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.ir.nodes import TargetNode
from headrace.ir.schema import Field

_OPERATIONS = ["c", "u", "d", "r", "t"]
_ROWLESS = ["d", TRUNCATE]
OPERATION_COLUMNS = ("__op", "op")
"""The names of the column with the operation; the first that is there."""
_WHOLE = r"^-?[0-9]+$"


def change_events(node: TargetNode, scope: Scope, table: Sequence[TargetColumn] | None) -> Step | None:
    """The step for a target of change events. None for other targets, and for an envelope when the table is not known.
    Raises PlanError when the incoming rows are not events."""
    if not node.reads_events:
        return None
    name = next((name for name in OPERATION_COLUMNS if name in scope.schema), None)
    if name is None:
        message = "The data have no column 'op' with the operation (c, u, d, r or t)"
        raise scope.fault("loadMode", "no_operation", message, "read change events, or use upsert")
    op = pl.col(name).cast(pl.String)
    known = Check(
        rule="cdc_op",
        column=name,
        fails=~op.is_in(_OPERATIONS).fill_null(value=False),
        value=op,
        message="Unknown operation: expected c, u, d, r or t",
    )
    own = {each.field.name for each in table or () if each.writable}
    if "after" in scope.schema and "before" in scope.schema and not {"after", "before"} & own:
        return None if table is None else _envelope(node, scope, table, op, known)
    return _flat(node, scope, op, name, known)


def _flat(node: TargetNode, scope: Scope, op: pl.Expr, name: str, known: Check) -> Step:
    kept = (*node.upsert_key, VALID_FROM) if node.traits.history else node.upsert_key
    keys = {node.mapping.get(column, column) for column in kept}
    columns = [
        pl.col(column) if column in keys else pl.when(~op.is_in(_ROWLESS)).then(pl.col(column)).alias(column)
        for column in scope.schema
        if column not in (name, ROW)
    ]
    return _step(node, scope, f"read events by {name}", [known], columns, op)


def _envelope(node: TargetNode, scope: Scope, table: Sequence[TargetColumn], op: pl.Expr, known: Check) -> Step:
    """The columns are those of `mapping` where there is one, else all of the table: the fields of the JSON are only
    known once it is read."""
    image = pl.when(op == "d").then(_json(scope, "before")).otherwise(_json(scope, "after"))
    checks = [known]
    for side, deletes in (("before", True), ("after", False)):
        text = _json(scope, side)
        concerned = ((op == "d") == pl.lit(deletes)) & (op != TRUNCATE)
        is_object = text.str.json_path_match("$").str.starts_with("{").fill_null(value=False)
        fails = (op.is_in(_OPERATIONS) & concerned & ~is_object).fill_null(value=False)
        checks.append(Check("cdc_image", side, fails, text, "Expected the row as a JSON object"))
    columns: list[pl.Expr] = []
    for column in table:
        name = column.field.name
        if not column.writable or (node.mapping and name not in node.mapping):
            continue
        source = node.mapping.get(name, name)
        value = _readable(image.str.json_path_match(f"$[{json.dumps(source, ensure_ascii=False)}]"), column.field)
        columns.append((value if name in node.upsert_key else pl.when(~op.is_in(_ROWLESS)).then(value)).alias(source))
    return _step(node, scope, "read Debezium events", checks, columns, op)


def _json(scope: Scope, side: str) -> pl.Expr:
    value = pl.col(side)
    return value.struct.json_encode() if isinstance(scope.schema[side], pl.Struct) else value.cast(pl.String)


def _readable(value: pl.Expr, field: Field) -> pl.Expr:
    """A date that Debezium wrote as days, or a timestamp as milli-, micro- or nanoseconds since 1970, in ISO format."""
    if field.data_type not in ("date", "timestamp", "timestamptz"):
        return value
    number = value.str.extract(f"({_WHOLE})").cast(pl.Int64, strict=False)
    if field.data_type == "date":
        formatted = number.cast(pl.Int32, strict=False).cast(pl.Date).dt.to_string("%Y-%m-%d")
    else:
        size = number.abs()
        micros = pl.when(size < 10**14).then(number * 1000).when(size < 10**17).then(number).otherwise(number // 1000)
        zone = "Z" if field.data_type == "timestamptz" else ""
        formatted = micros.cast(pl.Datetime("us")).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.6f{zone}")
    return pl.when(value.str.contains(_WHOLE)).then(formatted).otherwise(value)


def _step(
    node: TargetNode, scope: Scope, label: str, checks: Sequence[Check], columns: Sequence[pl.Expr], op: pl.Expr
) -> Step:
    selected = (*columns, op.alias(STAGED_OP), pl.col(ROW), pl.col("^__f[0-9]+_[0-9]+$"))
    decides = op.meta.root_names()
    made = {column.meta.output_name(): of_expression(column, decides) for column in columns}
    return Step(
        node.id,
        scope.path,
        label,
        checks=tuple(checks),
        reshape=lambda frame: frame.select(selected),
        provenance=Provenance(made, {"conditional": named(decides)}),
    )
