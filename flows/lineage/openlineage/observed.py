"""What a planned run knows of its columns: those of its sources and tables, and how the ones come from the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectors.postgresql.tables import describe_table
from flows.compile import TargetColumn, logical_plan
from flows.lineage.targets import TargetLineage, lineage_of
from flows.plan import columns
from flows.runtime.job import Prepared
from flows.runtime.prepare import target_columns
from flows.runtime.references import ReferenceTables
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Observed:
    """The columns that are read and written by node, and the lineage of the targets. Empty for a run that has not
    been planned."""

    schemas: Mapping[str, Schema] = field(default_factory=dict)
    targets: tuple[TargetLineage, ...] = ()


def observed(prepared: Prepared) -> Observed:
    """Compiles the run's document once more, for what is not needed to run it. Raises TargetError."""
    schemas = {node: found.schema for node, found in prepared.discoveries.items() if found.schema}
    targets: dict[str, list[TargetColumn]] = {}
    for load in prepared.plan.loads:
        found = target_columns(describe_table(prepared.job.database_url, load.target.table))
        # Whether the load fills a column is settled: by the mode, too, which may fill some itself.
        targets[load.target.id] = [
            replace(column, required=False, writable=column.field.name in load.columns) for column in found
        ]
    plan = logical_plan(prepared.ir, schemas, targets, tables=ReferenceTables(prepared.job))
    written = {node: columns(plan.nodes[node].schema) for node in targets if node in plan.nodes}
    return Observed({**schemas, **written}, tuple(lineage_of(plan)))
