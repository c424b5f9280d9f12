"""Whether the rows for an incremental target can be ordered: it names a column that the data and the table have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from flows.compile.contract import TargetColumn
from ir import PipelineIR, Problem
from ir.nodes import TargetNode
from ir.problems import nearest

_MODE = "incremental_watermark"


def missing_watermarks(ir: PipelineIR) -> Iterator[Problem]:
    """Incremental targets without a `watermarkColumn`."""
    for position, node in enumerate(ir.nodes):
        if isinstance(node, TargetNode) and node.load_mode == _MODE and node.watermark_column is None:
            yield Problem(
                f"nodes[{position}].watermarkColumn",
                "missing_field",
                f"loadMode {_MODE} needs a 'watermarkColumn'",
                "name a column whose values grow, such as an id or the time of the last change",
            )


def watermark_problem(
    node: TargetNode, path: str, incoming: Collection[str], table: Sequence[TargetColumn] | None
) -> Problem | None:
    """The fault of a watermark column that the incoming data or the table (None: not known) lack, if there is one."""
    column = node.watermark_column
    if node.load_mode != _MODE or column is None:
        return None
    where = f"{path}.watermarkColumn"
    writable = None if table is None else [each.field.name for each in table if each.writable]
    source = node.mapping.get(column, column)
    if source not in incoming:
        seen = [name for name in incoming if not name.startswith("__")]
        return Problem(where, "unknown_column", f"The data have no column '{source}'", nearest(source, seen))
    if writable is not None and column not in writable and node.schema_contract != "evolve":
        message = f"The table {node.table} has no column '{column}' to write"
        return Problem(where, "unknown_column", message, nearest(column, writable))
    return None
