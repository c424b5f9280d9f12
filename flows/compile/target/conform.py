"""The last step before a target: exactly the table's columns, in its types.

Only columns that both the data and the table have are written (loading.md). A value that does not fit the column's type
becomes an error row; a required table column that the data do not have is a fault of the plan. `schemaContract` decides
about columns that the table does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from headrace.connectors.column_names import match_names
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.postgresql.tables.describe import STAGED_OP
from headrace.connectors.source import ROW
from headrace.flows.compile.casting import ImpossibleCast, readable
from headrace.flows.compile.provenance import Made, Provenance, named
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check, Step
from headrace.flows.compile.target.schema_contract import TargetColumn, extra_columns
from headrace.ir.nodes import TargetNode
from headrace.ir.problems import nearest
from headrace.ir.schema import Field

_DELIMITERS = (";", "\t", "|", ",")
_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Conformed:
    """The step, the table columns that will be written, the incoming columns that will not, and the columns to add to
    the table before the load."""

    step: Step
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    added: tuple[Field, ...] = ()
    notes: tuple[str, ...] = ()


def conform(node: TargetNode, scope: Scope, table: Sequence[TargetColumn]) -> Conformed:
    """The step for `table`. Raises PlanError when no column, or not every required one, would be written."""
    by_name = {column.field.name: column for column in table if column.writable}
    place = "schema" if node.connector is None else "config"
    incoming = _incoming(node, scope, by_name)
    extra = extra_columns(node, scope, table, incoming.values())
    added = extra.added
    by_name |= {field.name: TargetColumn(field) for field in added}
    incoming |= {field.name: field.name for field in added}
    if not incoming:
        message = (
            f"The data and {node.called[0].lower()}{node.called[1:]} have no column in common: "
            f"the data have {_listed(scope.visible)}"
        )
        hint = f"the {'table' if node.connector is None else 'API'} has {', '.join(by_name)}"
        if len(scope.visible) == 1 and (found := [each for each in _DELIMITERS if each in scope.visible[0]]):
            hint += f"; if that is a header, set options.delimiter of the source to {json.dumps(found[0])}"
        raise scope.fault(place, "no_common_column", message, hint)
    missing = [name for name, column in by_name.items() if column.required and name not in incoming]
    if missing:
        message = f"{node.called} needs {', '.join(missing)}, which the data lack"
        hint = "add the column with a transform, map it, or give it a default in the table"
        if node.connector is not None:
            hint = nearest(missing[0], scope.visible)
        raise scope.fault(place, "required_column", message, hint)

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
            raise scope.fault(place, "impossible_cast", f"'{source}' to '{name}': {error}") from None
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
        same=frozenset(incoming),
        provenance=Provenance(made, {"filter": named(check.column for check in extra.checks)}),
    )
    used = set(incoming.values())
    left_out = tuple(name for name in scope.visible if name not in used)
    fills_itself = frozenset(column.field.name for column in table if column.automatic)
    notes = tuple(_notes(node, incoming, table, fills_itself=fills_itself))
    return Conformed(step, tuple(incoming), left_out, added, notes)


def pairs(node: TargetNode, names: Sequence[str], table: Sequence[str]) -> dict[str, str]:
    """Table column → incoming column: by `mapping`, then equal names, then names that differ only in blanks and case
    where the match is unambiguous."""
    mapped = {name: source for name, source in node.mapping.items() if name in table and source in names}
    by_name = [name for name in table if name not in node.mapping]
    free = [name for name in names if name not in mapped.values() or name in by_name]
    places = match_names(by_name, free)
    found = mapped | {name: free[place] for name, place in places.items()}
    return {name: found[name] for name in table if name in found}


def no_column(node: TargetNode, name: str, columns: Iterable[str]) -> tuple[str, str]:
    """The message and the hint for a mapping of a column that the table does not have."""
    return f"{node.called} has no column '{name}' to write", nearest(name, columns)


def _incoming(node: TargetNode, scope: Scope, by_name: dict[str, TargetColumn]) -> dict[str, str]:
    """The same as `pairs`. Raises PlanError for a mapping of a column that does not exist."""
    for name, source in node.mapping.items():
        if name not in by_name:
            raise scope.fault(f"mapping.{name}", "unknown_column", *no_column(node, name, by_name))
        scope.column(source, f"mapping.{name}")
    return pairs(node, scope.visible, tuple(by_name))


def _notes(
    node: TargetNode, incoming: dict[str, str], table: Sequence[TargetColumn], *, fills_itself: frozenset[str]
) -> Iterator[str]:
    """Remarks on columns that were matched by similar names, and on table columns that get no data."""
    for name, source in incoming.items():
        if source != name and name not in node.mapping:
            yield f"{node.table}.{name} takes the column '{source}', which is named alike"
    empty = [column.field.name for column in table if column.writable and column.field.name not in incoming]
    for names, what in (
        ([name for name in empty if name not in fills_itself], "null in all rows that are loaded"),
        ([name for name in empty if name in fills_itself], "the database fills them in"),
    ):
        if names:
            yield f"{node.table}: the data have nothing for {', '.join(names)}: {what}"


def _always_fits(have: pl.DataType, want: object) -> bool:
    """Whether every value of type `have` is one of type `want`, so that no check is needed."""
    integers = {pl.Int8: 8, pl.Int16: 16, pl.Int32: 32, pl.Int64: 64}
    have_type, want_type = type(have), want if isinstance(want, type) else type(want)
    if have_type in integers and want_type in integers:
        return integers[have_type] <= integers[want_type]
    return want_type is pl.String and not have.is_nested()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name[:60]}'" for name in names[:_MOST_LISTED])
    return f"{shown} and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else shown or "none"
