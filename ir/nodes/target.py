"""The target node: the table that rows are loaded into, or the API that they are sent to, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from headrace.ir.base import ColumnName, Shorthand, TableName, item_schema
from headrace.ir.hooks import Hooks
from headrace.ir.load_modes import LOAD_MODES, LoadModeName, LoadModeTraits
from headrace.ir.nodes.base import SingleInput
from headrace.ir.nodes.deletes import DELETING, DeleteAction, SourceDeletes
from headrace.ir.problems import fault

SchemaContract = Literal["evolve", "freeze", "discard_row", "discard_value"]


RESERVED = frozenset({"information_schema", "_headrace", "dlq", "headrace"})
"""Schemas of another database that cannot hold targets, besides those of the server (`pg_…`)."""

ApiName = Literal["http", "braze"]
"""The connectors that send rows to an API."""

_NO_TABLE = "api.records"
"""The value of `schema` for a target without a table."""


def _schema_or_connector(schema: dict[str, Any]) -> None:
    """Requires `schema`, or a `connector`, in the JSON Schema."""
    schema["required"] = [name for name in schema["required"] if name != "schema"]
    schema["anyOf"] = [{"required": ["schema"]}, {"required": ["connector"]}]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class TargetNode(SingleInput):
    """Loads rows into `schema` (a qualified table). `mapping` is target column → incoming column where names differ.

    `upsertKey` (one column or several) identifies rows for upsert, cdc_mirror and scd2; `watermarkColumn` orders them
    for incremental_watermark. Both are columns of the table.

    `schemaContract` decides about incoming columns that the table lacks: they are added to it (`evolve`), the run fails
    (`freeze`, also when a source has lost a column that is loaded), rows with a value in one are skipped
    (`discard_row`), or the values are left out (`discard_value`).
    `preHook` runs before the first row, `postHook` after the last. `backupBeforeLoad` copies the existing rows.

    With a `connector` there is no table: rows are sent to an API, as `config` says.
    """

    model_config = ConfigDict(json_schema_extra=_schema_or_connector)

    kind: Literal["target"]
    target_schema: TableName = Field(alias="schema")
    """The table; it belongs to one of the tenant's schemas, or with `connection` it is `schema.table` there."""
    connector: ApiName | None = None
    """For rows that are sent to an API: `http`, or `braze`. `schema` is left out."""
    config: dict[str, Any] = Field(default_factory=dict)
    """How rows are sent; see the connector's settings. `{{name}}` in a text is a run's parameter."""
    connection: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    """The id or name of a connector record of type postgresql, whose database the table is in; the warehouse without
    it. With `connector`: the record with the API's address and credentials; the pipeline's without it."""
    load_mode: LoadModeName = "append"
    """How rows are written to the table."""
    upsert_key: Annotated[tuple[ColumnName, ...], BeforeValidator(_several), Shorthand(item_schema)] = ()
    """The columns of the table that identify a row."""
    watermark_column: ColumnName | None = None
    """The column of the table that rows are ordered by."""
    mapping: dict[ColumnName, ColumnName] = Field(default_factory=dict)
    """Column of the table → incoming column, where names differ."""
    schema_contract: SchemaContract = "discard_value"
    """What to do with incoming columns that the table lacks."""
    pre_hook: Hooks = ()
    """Run before the first row is loaded."""
    post_hook: Hooks = ()
    """Run when all rows are visible."""
    allow_empty: bool = False
    """Let a load empty the table (`replace`, `truncate`, `blue_green`) when its sources have no rows, instead of
    failing. Rows that fail or are left out never empty it."""
    backup_before_load: bool = False
    """Copy the existing rows to `<table>__backup_<run>`."""
    events: bool = False
    """For scd2: the rows are change events with the operation in `op`, as `cdc_mirror` reads them. A delete ends the
    current version of its key, a truncate that of every key."""
    deletes: SourceDeletes | None = None
    """What becomes of rows whose key the source has no more (upsert, scd2); they stay without it."""

    @model_validator(mode="before")
    @classmethod
    def _without_table(cls, given: Any) -> Any:
        named = isinstance(given, dict) and given.get("connector") is not None
        return {"schema": _NO_TABLE, **given} if named else given

    @model_validator(mode="after")
    def _one_place(self) -> TargetNode:
        if self.connector is not None and self.target_schema != _NO_TABLE:
            raise fault("bad_option", "An API has no table: 'schema' and 'connector' exclude each other", "remove one")
        if self.connector is None and self.config:
            raise fault("bad_option", "'config' is for targets with a 'connector'", "remove it, or add 'connector'")
        return self

    @model_validator(mode="after")
    def _deleting(self) -> TargetNode:
        if self.deletes is None:
            return self
        allowed = DELETING.get(self.load_mode)
        if allowed is None:
            message = f"loadMode {self.load_mode} compares no keys: 'deletes' is for {' and '.join(DELETING)}"
            raise fault("bad_option", message, "remove 'deletes', or use another loadMode")
        if self.deletes.action not in (None, *allowed):
            message = f"The action '{self.deletes.action}' is not for loadMode {self.load_mode}"
            raise fault("bad_option", message, f"use {' or '.join(allowed)}")
        if self.deletes.column in self.upsert_key:
            raise fault("bad_option", f"'{self.deletes.column}' is part of the upsertKey", "mark another column")
        return self

    @model_validator(mode="after")
    def _eventful(self) -> TargetNode:
        if self.events and not (self.traits.history or self.traits.events):
            message = f"loadMode {self.load_mode} applies no change events: 'events' is for scd2"
            raise fault("bad_option", message, "remove 'events', or use cdc_mirror")
        if self.events and self.deletes is not None:
            raise fault("bad_option", "'events' brings deletes, and 'deletes' compares keys", "remove one of them")
        return self

    @model_validator(mode="after")
    def _of_another_database(self) -> TargetNode:
        if self.connection is None or self.connector is not None:
            return self
        schema, point, _ = self.target_schema.partition(".")
        if not point:
            raise fault("unqualified_table", f"'{schema}' does not say which schema it is in", "write schema.table")
        if schema in RESERVED or schema.startswith("pg_"):
            message = f"Tables of the schema '{schema}' are not for rows of a pipeline"
            raise fault("reserved_schema", message, "name a table of another schema")
        return self

    @property
    def traits(self) -> LoadModeTraits:
        """The properties of its load mode."""
        return LOAD_MODES[self.load_mode]

    @property
    def reads_events(self) -> bool:
        """Whether its rows are change events."""
        return self.traits.events or self.events

    @property
    def delete_action(self) -> DeleteAction | None:
        """What becomes of rows whose key the source has no more; None: they stay."""
        return None if self.deletes is None else self.deletes.action or DELETING[self.load_mode][0]

    @property
    def called(self) -> str:
        """What it is, for messages."""
        return f"The table {self.table}" if self.connector is None else f"The API {self.table}"

    @property
    def table(self) -> str:
        """The qualified table: `public` where no schema is named. For an API: a name of the place, as for a table."""
        if self.connector is not None:
            path = "/users/track" if self.connector == "braze" else str(self.config.get("path") or "/")
            place = f"{self.connection or ''}{path}".replace('"', "")
            return f'{self.connector}."{place}"'
        return self.target_schema if "." in self.target_schema else f"public.{self.target_schema}"
