"""The last step before a target: exactly the table's columns, in its types.

Only columns that both the data and the table have are written (loading.md); a value that does not fit the column's type
becomes an error row; a table column without a default that the data lack is a fault before the first byte. What becomes
of columns that the table lacks, `schemaContract` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from connectors.base import ROW
from connectors.postgresql.tables import STAGED_OP
from connectors.types import polars_dtype
from flows.compile.casting import ImpossibleCast, readable
from flows.compile.contract import TargetColumn, extra_columns
from flows.compile.provenance import Made, Provenance, named
from flows.compile.scope import Scope
from flows.compile.step import Check, Step
from ir.nodes import TargetNode
from ir.problems import nearest
from ir.schema import Field


@dataclass(frozen=True, slots=True)
class Conformed:
    """The step, the table's columns that will be written, the incoming columns that are not, and the columns that the
    table must be given first."""

    step: Step
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    added: tuple[Field, ...] = ()


def conform(node: TargetNode, scope: Scope, table: Sequence[TargetColumn]) -> Conformed:
    """The step for `table`; raises PlanError when nothing or not enough would be written."""
    by_name = {column.field.name: column for column in table if column.writable}
    incoming = _incoming(node, scope, by_name)
    extra = extra_columns(node, scope, table, incoming.values())
    added = extra.added
    by_name |= {field.name: TargetColumn(field) for field in added}
    incoming |= {field.name: field.name for field in added}
    if not incoming:
        message = f"The data and the table {node.table} have no column in common"
        raise scope.fault("schema", "no_common_column", message, f"the table has {', '.join(by_name)}")
    missing = [name for name, column in by_name.items() if column.required and name not in incoming]
    if missing:
        message = f"The table {node.table} needs {', '.join(missing)}, which the data lack"
        hint = "add the column with a transform, map it, or give it a default in the table"
        raise scope.fault("schema", "required_column", message, hint)

    checks: list[Check] = []
    columns: list[pl.Expr] = []
    made: dict[str, Made] = {}
    for name, source in incoming.items():
        have, to = scope.schema[source], by_name[name].field
        if by_name[name].takes(have) or (have == polars_dtype(to) and to.data_type not in ("uuid",)):
            columns.append(pl.col(source).alias(name))
            made[name] = Made(named([source]), "identity")
            continue
        try:
            check, read = readable("type", source, have, to)
        except ImpossibleCast as error:
            raise scope.fault("schema", "impossible_cast", f"'{source}' to '{name}': {error}") from None
        if to.data_type == "uuid" or not _always_fits(have, polars_dtype(to)):
            checks.append(check)
        columns.append(read.alias(name))
        same = have.is_integer() and polars_dtype(to).is_integer()
        made[name] = Made(named([source]), "identity" if same else "transformation")
    selected = (*columns, pl.col(ROW), pl.col(f"^{STAGED_OP}$"), pl.col("^__f[0-9]+_[0-9]+$"))
    step = Step(
        node.id,
        scope.path,
        f"conform to {node.table} ({', '.join(incoming)})",
        checks=(*extra.checks, *checks),
        reshape=lambda frame: frame.select(selected),
        origins=incoming,
        provenance=Provenance(made, {"filter": named(check.column for check in extra.checks)}),
    )
    used = set(incoming.values())
    left_out = tuple(name for name in scope.visible if name not in used)
    return Conformed(step, tuple(incoming), left_out, added)


def _incoming(node: TargetNode, scope: Scope, by_name: dict[str, TargetColumn]) -> dict[str, str]:
    """Table column → incoming column: what `mapping` says, then equal names."""
    for name, source in node.mapping.items():
        if name not in by_name:
            message = f"The table {node.table} has no column '{name}' to write"
            raise scope.fault(f"mapping.{name}", "unknown_column", message, nearest(name, by_name))
        scope.column(source, f"mapping.{name}")
    pairs = {name: node.mapping.get(name, name) for name in by_name}
    return {name: source for name, source in pairs.items() if source in scope.schema}


def _always_fits(have: pl.DataType, want: object) -> bool:
    """Whether every value of the one type is one of the other, so that no check is needed."""
    integers = {pl.Int8: 8, pl.Int16: 16, pl.Int32: 32, pl.Int64: 64}
    have_type, want_type = type(have), want if isinstance(want, type) else type(want)
    if have_type in integers and want_type in integers:
        return integers[have_type] <= integers[want_type]
    return want_type is pl.String and not have.is_nested()
