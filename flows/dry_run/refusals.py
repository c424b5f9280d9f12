"""Which rows a target would refuse: the checks of its table, or of the request that its API would get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.http.target.records import rendered
from headrace.connectors.postgresql.copy.server_cast import predict_rejects
from headrace.connectors.postgresql.tables.describe import Table, describe_table
from headrace.connectors.source import ROW
from headrace.flows.compile import TargetColumn
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.target.api_columns import known_api_columns
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.targets.load_modes import target_columns
from headrace.ir import PipelineIR
from headrace.ir.nodes import TargetNode


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a job as they are now. `tables` by node; those of APIs, and of a job without a database, have
    none. `columns` are what is known of each."""

    job: Job
    tables: Mapping[str, Table]
    columns: Mapping[str, list[TargetColumn]]

    @classmethod
    def of(cls, job: Job, ir: PipelineIR) -> Targets:
        """Looks at the tables. Raises TargetError."""
        tables = {
            node.id: describe_table(job.database_of(node.id), node.table)
            for node in ir.nodes
            if isinstance(node, TargetNode) and node.connector is None and job.database_url
        }
        columns = {node: target_columns(table) for node, table in tables.items()} | known_api_columns(ir)
        return cls(job, tables, columns)

    def split(self, compiled: LogicalNode, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """The rows that the target of a node would take, and the rejected cells of the others (REJECT_SCHEMA); None for
        a target that nothing is known of."""
        node = compiled.node
        if node.id in self.tables:
            wanted = [column for column in self.tables[node.id].columns if column.name in compiled.written]
            refused = predict_rejects(self.job.database_of(node.id), frame, wanted)
            return frame.filter(~pl.col(ROW).is_in(refused.get_column("row").implode())), refused
        if isinstance(node, TargetNode) and node.connector is not None:
            made = rendered(frame, API_TARGETS[node.connector].settings_of(node.config))
            return frame.join(made.frame.select(ROW), on=ROW, how="semi", maintain_order="left"), made.rejects
        return frame, None
