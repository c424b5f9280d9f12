"""`schemaContract`: what happens with incoming columns that the table does not have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from headrace.catalog.schemas.ddl import field_problems
from headrace.catalog.schemas.names import FieldDefinition
from headrace.connectors.datatypes import field_of_polars
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check
from headrace.ir.nodes import TargetNode
from headrace.ir.schema import Field

DISCARDED_ROW = "schema_contract"
"""The rule by which `discard_row` skips a row."""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column of the target's table. `required`: not null and without a default. `writable`: not generated. `takes`:
    whether the loader takes a polars type as it is, because a cast to `field` would lose something. `automatic`: the
    database fills it in when the data have no such column. `native`: its type as PostgreSQL writes it."""

    field: Field
    required: bool = False
    writable: bool = True
    takes: Callable[[pl.DataType], bool] = lambda dtype: False
    automatic: bool = False
    native: str = ""


@dataclass(frozen=True, slots=True)
class ExtraColumns:
    """`added`: columns to add to the table; `checks`: which rows are skipped."""

    added: tuple[Field, ...] = ()
    checks: tuple[Check, ...] = ()


def extra_columns(node: TargetNode, scope: Scope, table: Sequence[TargetColumn], used: Collection[str]) -> ExtraColumns:
    """Applies the contract to columns that are neither used nor in the table (generated columns are in the table,
    though they cannot be written). Raises PlanError for a frozen table, and for columns that cannot be added."""
    there = {column.field.name for column in table}
    unknown = [name for name in scope.visible if name not in used and name not in there]
    if not unknown:
        return ExtraColumns()
    match node.schema_contract:
        case "freeze":
            message = f"{node.called} is frozen and has no column for {', '.join(unknown)}"
            hint = "drop them from the data, add them to the schema, or choose another schemaContract"
            raise scope.fault("schemaContract", "schema_frozen", message, hint)
        case "evolve":
            return ExtraColumns(added=tuple(_added(node, scope, unknown, there)))
        case "discard_row":
            return ExtraColumns(checks=tuple(_discarding(name) for name in unknown))
    return ExtraColumns()


def _added(node: TargetNode, scope: Scope, names: Sequence[str], there: Collection[str]) -> Iterator[Field]:
    taken = {name.lower() for name in there}
    for name in names:
        field = field_of_polars(name, scope.schema[name])
        problems = field_problems(FieldDefinition(name, name, field.data_type), taken=taken)
        if problems:
            message = f"The table {node.table} cannot get the column '{name}': {problems[0].message}"
            raise scope.fault("schemaContract", "cannot_evolve", message, "rename or drop it with a transform")
        taken.add(name.lower())
        yield field


def _discarding(name: str) -> Check:
    return Check(
        rule=DISCARDED_ROW,
        column=name,
        fails=pl.col(name).is_not_null(),
        value=pl.lit(None, pl.String),
        message=f"The table has no column '{name}'",
        on_fail="skip",
    )
