"""How one table is copied: the settings of `defaults` and `overrides`, and what a table has after all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from headrace.ir.base import ColumnName, Doc, Shorthand, item_schema
from headrace.ir.document import ErrorHandling
from headrace.ir.nodes.deletes import SourceDeletes
from headrace.ir.problems import fault, nearest
from headrace.ir.replication.patterns import Pattern, any_matches

ReplicaLoadMode = Literal["auto", "append", "upsert", "replace", "truncate", "blue_green", "scd2", "cdc_mirror"]

ReplicaContract = Literal["evolve", "freeze", "discard_value"]

PLACEHOLDERS = ("database", "schema", "table", "replication")
DEFAULT_TARGET = "{schema}_{table}"

ColumnText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _cursor(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _column_shape(of: dict[str, Any]) -> dict[str, Any]:
    del of
    return {"type": "string", "minLength": 1, "maxLength": 200}


def _template(text: str) -> str:
    rest = text
    while "{" in rest or "}" in rest:
        before, _, rest = rest.partition("{")
        name, closed, rest = rest.partition("}")
        if "}" in before or not closed:
            raise fault("bad_template", f"'{text}' has a brace without its other", "write for example {schema}_{table}")
        if name not in PLACEHOLDERS:
            raise fault("unknown_placeholder", f"There is no placeholder '{{{name}}}'", nearest(name, PLACEHOLDERS))
    return text


class Cursor(Doc):
    """The column by which each run continues where the last one ended."""

    column: ColumnText
    """It grows with every row that is added or changed: `updated_at`, `id`."""
    initial: str | int | float | bool | None = None
    """The value from which the first run reads; all there is without it."""
    lag: str | int | float | None = None
    """How far a run lags behind the present: a duration (`PT5M`) or seconds for times, a number for numbers."""
    key: tuple[ColumnText, ...] | None = None
    """Columns that distinguish rows of the same value, for a table without a key; `[]` says that no two rows have the
    same value."""


class ExecutionConfig(Doc):
    """How a table's run is executed."""

    batch_size: int | None = Field(default=None, ge=1, le=10_000_000)
    """Rows of a batch."""
    parallelism: int | None = Field(default=None, ge=1, le=256)
    """Partitions of one table at a time."""


class TableSettings(Doc):
    """How tables are copied. Settings that an override does not have come from earlier overrides and `defaults`."""

    load_mode: ReplicaLoadMode = "auto"
    """How rows are written. `auto`: `upsert` for a table whose key is known; without one `append` where a cursor reads
    only what is new, else `replace`. `cdc_mirror` is for tables of change events, with a column `op` or `__op`."""
    cursor: Annotated[Cursor | None, BeforeValidator(_cursor), Shorthand(_column_shape)] = None
    """The column of what is new, or its name alone. In `defaults`, tables without that column are read whole."""
    key: Annotated[tuple[ColumnName, ...], BeforeValidator(_several), Shorthand(item_schema)] = ()
    """The columns of the source that identify a row; the primary key without it."""
    deletes: SourceDeletes | None = None
    """What becomes of rows that were deleted in the source, for `upsert` and `scd2`, as at a pipeline's target; they
    stay without it. In `defaults`, tables of another load mode are copied without it."""
    schema_contract: ReplicaContract = "evolve"
    """What happens to new columns of the source: they are added to the table (`evolve`), the table is not copied
    (`freeze`), or they are ignored (`discard_value`)."""
    target: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_template)] = DEFAULT_TARGET
    """The name of the schema that is loaded: `{database}`, `{schema}`, `{table}` and `{replication}` are filled in, and
    what a table's name cannot have becomes `_`."""
    config: dict[str, Any] = Field(default_factory=dict)
    """More settings of the source of each table, as in a pipeline: `columns`, `partitioning`, `timeoutSeconds`."""
    execution_config: ExecutionConfig = ExecutionConfig()
    """How each table's run is executed."""
    error_handling: ErrorHandling = ErrorHandling()
    """The limits on failed rows that end a table's run."""


class Override(TableSettings):
    """Settings of some of the tables."""

    tables: Annotated[tuple[Pattern, ...], BeforeValidator(_several), Shorthand(item_schema)] = Field(min_length=1)
    """Patterns of names of tables; those that `sources` leaves out stay out."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The settings of one table. `own` are the fields that an override gave it, by their Python names."""

    settings: TableSettings
    own: frozenset[str] = field(default_factory=frozenset)


def settled(defaults: TableSettings, overrides: Iterable[Override], name: str) -> Settled:
    """The settings of the table of that name: of the defaults, then of each override that names it, in order."""
    given: dict[str, Any] = {each: getattr(defaults, each) for each in defaults.model_fields_set}
    own: set[str] = set()
    for override in overrides:
        if any_matches(override.tables, name):
            changed = override.model_fields_set - {"tables"}
            given |= {each: getattr(override, each) for each in changed}
            own |= changed
    return Settled(TableSettings.model_construct(**given), frozenset(own))
