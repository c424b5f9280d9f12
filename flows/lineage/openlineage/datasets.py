"""The datasets of a run with their facets: schemas, column lineage, and rows read and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    column_lineage_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from headrace.connectors.connector import DatasetName
from headrace.flows.compile import TargetColumn, logical_plan
from headrace.flows.dry_run.plan import columns
from headrace.flows.lineage.graph import Place, Root, Use
from headrace.flows.lineage.openlineage.naming import source_name, table_name
from headrace.flows.lineage.targets import TargetLineage, lineage_of
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.reference_tables import ReferenceTables
from headrace.flows.runtime.targets.load_modes import table_columns
from headrace.ir import PipelineIR
from headrace.ir.nodes import SourceNode, TargetNode
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class PlannedColumns:
    """The columns read or written, by node, and the lineage of the targets. Empty for a run that is not planned."""

    schemas: Mapping[str, Schema] = field(default_factory=dict)
    targets: tuple[TargetLineage, ...] = ()


def planned_columns(prepared: Prepared) -> PlannedColumns:
    """Compiles the run's document again for its lineage. Raises TargetError."""
    schemas = {node: found.schema for node, found in prepared.discoveries.items() if found.schema}
    targets: dict[str, list[TargetColumn]] = {}
    for load in prepared.plan.loads:
        found = table_columns(load.target, prepared.job)
        # The load is planned, so required columns are not checked again; a load mode may fill some itself.
        targets[load.target.id] = [
            replace(column, required=False, writable=column.field.name in load.columns) for column in found
        ]
    plan = logical_plan(prepared.ir, schemas, targets, tables=ReferenceTables(prepared.job), views=prepared.views)
    written = {node: columns(plan.nodes[node].schema) for node in targets if node in plan.nodes}
    return PlannedColumns({**schemas, **written}, tuple(lineage_of(plan)))


Counters = Mapping[str, Mapping[str, int]]
"""The row counts of each node, as in a run's snapshot; empty while it runs."""

_MAX_TEXT = 500
"""Descriptions of transformations are cut to this length."""


@dataclass(slots=True)
class _Dataset:
    """Collects the data of a dataset, which several nodes may read or write."""

    schema: dict[str, str] = field(default_factory=dict)
    rows: int | None = None
    lineage: list[TargetLineage] = field(default_factory=list)

    def add(self, schema: Schema, rows: int | None) -> None:
        self.schema |= {column.name: column.data_type for column in schema}
        if rows is not None:
            self.rows = (self.rows or 0) + rows

    @property
    def facets(self) -> dict[str, DatasetFacet]:
        """The schema facet, where columns are known."""
        if not self.schema:
            return {}
        fields = [schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in self.schema.items()]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields)}


class Datasets:
    """The datasets of one run."""

    def __init__(self, job: Job, ir: PipelineIR, found: PlannedColumns) -> None:
        self._job, self._ir, self._found = job, ir, found
        self._names = {node.id: source_name(node, job) for node in ir.nodes if isinstance(node, SourceNode)}

    def inputs(self, counters: Counters) -> list[InputDataset]:
        """The sources, and the lookup tables."""
        datasets: dict[DatasetName, _Dataset] = {}
        for node, name in self._names.items():
            read = counters.get(node, {}).get("rowsIn")
            datasets.setdefault(name, _Dataset()).add(self._found.schemas.get(node, ()), read)
        roots = {root for target in self._found.targets for root in _roots(target)}
        for table in sorted({root.table for root in roots if root.table is not None}):
            datasets.setdefault(table_name(table, self._job.database_url), _Dataset())
        return [
            InputDataset(
                *name,
                facets=each.facets,
                inputFacets={}
                if each.rows is None
                else {"inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(each.rows)},
            )
            for name, each in datasets.items()
        ]

    def outputs(self, counters: Counters) -> list[OutputDataset]:
        """The tables that are loaded."""
        lineage = {target.node.id: target for target in self._found.targets}
        datasets: dict[DatasetName, _Dataset] = {}
        for node in self._ir.nodes:
            if isinstance(node, TargetNode):
                dataset = datasets.setdefault(table_name(node.table, self._job.database_of(node.id)), _Dataset())
                dataset.add(self._found.schemas.get(node.id, ()), counters.get(node.id, {}).get("rowsOut"))
                dataset.lineage += [lineage[node.id]] if node.id in lineage else []
        return [
            OutputDataset(
                *name,
                facets={**each.facets, **self._column_lineage(each.lineage)},
                outputFacets={}
                if each.rows is None
                else {
                    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(each.rows)
                },
            )
            for name, each in datasets.items()
        ]

    def _column_lineage(self, targets: Iterable[TargetLineage]) -> dict[str, DatasetFacet]:
        fields: dict[str, list[column_lineage_dataset.InputField]] = {}
        rows: list[column_lineage_dataset.InputField] = []
        for target in targets:
            for column in target.columns:
                description = _text(column.steps)
                inputs = [self._input(each.root, each.uses, description) for each in column.inputs]
                fields.setdefault(column.name, []).extend(inputs)
            rows += [self._input(row.root, [Use(row.subtype)], _text(row.steps)) for row in target.rows]
        if not fields:
            return {}
        made = {name: column_lineage_dataset.Fields(inputs) for name, inputs in fields.items()}
        return {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(made, rows)}

    def _input(self, root: Root, uses: Iterable[Use], description: str | None) -> column_lineage_dataset.InputField:
        name = self._names[root.node] if root.node is not None else table_name(root.table or "", self._job.database_url)
        transformations = [
            column_lineage_dataset.Transformation(use.type, use.subtype.upper(), description, use.masking)
            for use in uses
        ]
        return column_lineage_dataset.InputField(*name, root.column, transformations)


def _roots(target: TargetLineage) -> Iterable[Root]:
    yield from (each.root for column in target.columns for each in column.inputs)
    yield from (row.root for row in target.rows)


def _text(steps: Iterable[Place]) -> str | None:
    return " → ".join(step.label for step in steps)[:_MAX_TEXT] or None
