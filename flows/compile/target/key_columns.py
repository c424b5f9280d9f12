"""Checks that the key and watermark columns of a target are in the data and in the table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from headrace.connectors.source import reserved
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode
from headrace.ir.problems import nearest, nearest_column


def missing_keys(ir: PipelineIR) -> Iterator[Problem]:
    """Merging targets without an `upsertKey`."""
    for position, node in enumerate(ir.nodes):
        if isinstance(node, TargetNode) and node.traits.keyed and not node.upsert_key:
            yield Problem(
                f"nodes[{position}].upsertKey",
                "missing_field",
                f"loadMode {node.load_mode} needs an 'upsertKey'",
                "name the column or columns that identify a row of the table",
            )


def key_problem(
    node: TargetNode, path: str, incoming: Collection[str], table: Sequence[TargetColumn] | None
) -> Problem | None:
    """The problem of a key column that the incoming data or the table (None: not known) do not have, if any."""
    if not node.traits.keyed:
        return None
    where = f"{path}.upsertKey"
    writable = None if table is None else [each.field.name for each in table if each.writable]
    for column in node.upsert_key:
        if writable is not None and column not in writable and node.schema_contract != "evolve":
            message = f"The table {node.table} has no column '{column}' to write"
            return Problem(where, "unknown_column", message, nearest(column, writable))
        source = node.mapping.get(column, column)
        if source not in incoming:
            seen = [name for name in incoming if not reserved(name)]
            return Problem(where, "unknown_column", f"The data have no column '{source}'", nearest_column(source, seen))
    return None


def only_key_problem(node: TargetNode, path: str, written: Sequence[str]) -> Problem | None:
    """The problem of a load that would write only the key, so that there is nothing to update, if any."""
    if not node.traits.keyed or not set(written) <= set(node.upsert_key):
        return None
    message = f"Every column that would be written to {node.table} is in the upsertKey: there is nothing to update"
    return Problem(f"{path}.upsertKey", "nothing_to_update", message, "load more columns, or use append")


def missing_watermarks(ir: PipelineIR) -> Iterator[Problem]:
    """Incremental targets without a `watermarkColumn`."""
    for position, node in enumerate(ir.nodes):
        if isinstance(node, TargetNode) and node.traits.watermark and node.watermark_column is None:
            yield Problem(
                f"nodes[{position}].watermarkColumn",
                "missing_field",
                f"loadMode {node.load_mode} needs a 'watermarkColumn'",
                "name a column whose values grow, such as an id or the time of the last change",
            )


def watermark_problem(
    node: TargetNode, path: str, incoming: Collection[str], table: Sequence[TargetColumn] | None
) -> Problem | None:
    """The problem of a watermark column that the incoming data or the table (None: not known) do not have, if any."""
    column = node.watermark_column
    if not node.traits.watermark or column is None:
        return None
    where = f"{path}.watermarkColumn"
    writable = None if table is None else [each.field.name for each in table if each.writable]
    source = node.mapping.get(column, column)
    if source not in incoming:
        seen = [name for name in incoming if not reserved(name)]
        return Problem(where, "unknown_column", f"The data have no column '{source}'", nearest_column(source, seen))
    if writable is not None and column not in writable and node.schema_contract != "evolve":
        message = f"The table {node.table} has no column '{column}' to write"
        return Problem(where, "unknown_column", message, nearest(column, writable))
    return None
