"""Request and response models of plans and previews."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.api.ir.schemas import LiveVersion, NodeField, VersionNumber
from headrace.api.runs.schemas import RunParameters
from headrace.api.wire import RequestModel, ResponseModel
from headrace.flows.dry_run.plan import TableAction
from headrace.ir.load_modes import LoadModeName, LoadStrategy

PREVIEW_ROWS = 500


class PlanRequest(RequestModel):
    """The version to plan, by default the live one, and the run's parameters."""

    ir_version: VersionNumber | None = None
    """A saved version of the IR; null for the live one."""
    parameters: RunParameters = Field(default_factory=dict, max_length=50)
    """Values for `{{name}}` in the configs of the pipeline's sources."""


class PreviewRequest(PlanRequest):
    """The number of records to read from each source, and the node to show (default: all)."""

    node: str | None = Field(default=None, max_length=100)
    """The id of the only node to show; null for all."""
    limit: int = Field(default=50, ge=1, le=PREVIEW_ROWS)
    """How many records to read from each source."""


class PlannedPartition(ResponseModel):
    """One partition of a stage."""

    index: int
    """The number of the partition in its stage, from 0."""
    first_row: int
    """The number of its first row in the source, from 1."""
    rows: int
    """The number of its records, where the source knows it in advance; else 0."""
    location: dict[str, Any]
    """Where its rows are, in the terms of the connector, such as ranges of bytes in files or of keys in tables."""


class PlannedSink(ResponseModel):
    """An output of a stage: a table, or an exchange that a later stage gathers; with neither, rows are only checked by
    dataset rules."""

    path: list[str]
    """The ids of the nodes that lead to it, in order."""
    table: str | None
    """The table that is loaded; null for rows that are sent on or only checked."""
    load_mode: LoadModeName | None
    """How the table is loaded; null without a table."""
    columns: list[str]
    """The columns that are loaded or sent on."""
    sends: str | None
    """The exchange that the rows go to, which a later stage gathers; null for a table."""


class PlannedStage(ResponseModel):
    """Nodes that each partition passes without an exchange."""

    name: str
    """The nodes of the stage, for people: `src → v → tgt`."""
    rows: int
    """The records of all partitions; 0 where they are not known in advance."""
    after: list[int]
    """The stages, as positions in the list from 0, that must be done before this one starts."""
    gathers: str | None
    """The exchange whose rows the stage reads, in words; null for a stage that reads a source."""
    unread: list[str]
    """Columns of the source or exchange that are not read, because nothing needs them."""
    where: list[str]
    """The first filter, as conditions that all must hold; parts of the source without matching rows are not
    read, and are counted as skipped."""
    steps: list[str]
    """The operations on rows, in order."""
    queries: list[list[str]]
    """The same steps, grouped into queries that each run as one."""
    table: str | None
    """The table of the only target; null for a stage with several outputs, or that sends its rows on."""
    load_mode: LoadModeName | None
    """How the table is loaded; null without `table`."""
    columns: list[str]
    """The columns of the table that are loaded; empty without `table`."""
    sinks: list[PlannedSink]
    """All outputs of the stage."""
    partitions: list[PlannedPartition]
    """The parts of the stage that are loaded independently; empty where they are known only during the run."""


class SqlItem(ResponseModel):
    """How a target is loaded: the processing of rows as comments, then the SQL statements."""

    node: str
    """The target node."""
    table: str
    """The table that it loads, such as `public.ds_orders`."""
    load_mode: LoadModeName
    """How the table is loaded."""
    sql: str
    """The processing of rows as comments, then the SQL statements."""


class TableChangeItem(ResponseModel):
    """A change of the target database before loading."""

    table: str
    """The table, such as `public.ds_orders`."""
    action: TableAction
    """What is changed."""
    statement: str | None
    """The SQL statement; null for the engine's own tables."""


class Plan(ResponseModel):
    """The plan of a run, for the current state of sources and tables."""

    ir_version: LiveVersion
    load_strategy: LoadStrategy
    """How the tables are loaded: a retry of `append` and `upsert` continues after the committed rows, one of `replace`
    starts from the beginning."""
    estimated_rows: int
    """The records of all sources, where they are known in advance."""
    parallelism: int
    """How many partitions are loaded at the same time."""
    stages: list[PlannedStage]
    """The stages, in the order in which they start."""
    sql: list[SqlItem]
    """How each target is loaded."""
    ddl: list[TableChangeItem]
    """The changes of databases before the run loads; empty if there are none."""
    notes: list[str]
    """Remarks for people, such as what a run does not use."""


class SqlPreview(ResponseModel):
    """The SQL of each target."""

    ir_version: LiveVersion
    targets: list[SqlItem]
    """How each target is loaded."""


class PreviewedRow(ResponseModel):
    """An output row of a node."""

    row: int
    """The number of the row in its source, from 1."""
    values: dict[str, Any]
    """The values by column, as JSON."""


class PreviewedError(ResponseModel):
    """A cell or a row that broke a rule."""

    row: int
    """The number of the row in its source, from 1."""
    column: str | None
    """The column of the cell; null when the whole row is rejected."""
    value: str | None
    """The value as text; null for a missing value and for a whole row."""
    error: str
    """What is wrong, for people."""
    rule: str
    """A stable id of the rule, such as `type` for a value that is not of its type."""
    warning: bool
    """Whether the row passes; else it is rejected."""


class PreviewedNode(ResponseModel):
    """The output of a node for the sample."""

    node: str
    """The id of the node."""
    kind: str
    """The kind of node in the IR, such as `source` or `transform`; releases may add further ones."""
    schema_: list[NodeField] = Field(alias="schema", validation_alias="fields")
    """The columns after the node."""
    rows_in: int
    """The number of rows that arrived."""
    rows_out: int
    """The number of rows that passed."""
    failed: int
    """The number of rows that broke a rule."""
    skipped: int
    """The number of rows that were left out, such as by a filter."""
    rows: list[PreviewedRow]
    """The rows that passed; of more than 500, the first."""
    errors: list[PreviewedError]
    """The cells that broke a rule."""
    stops_run: str | None
    """Why a run would end here; null if it would not."""
    notes: list[str]
    """Differences from a run; previews do not call the providers of `enrich`, for example."""


class Preview(ResponseModel):
    """The output of each node for the first `limit` records of every source; nothing is written."""

    ir_version: LiveVersion
    limit: int
    """How many records were read from each source."""
    nodes: list[PreviewedNode]
    """The nodes, each after those that it reads."""
