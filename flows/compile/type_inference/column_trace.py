"""Traces undeclared text columns through a document: the target columns they reach unchanged, and their uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import TypeVar

from headrace.connectors.source import reserved
from headrace.flows.compile.target.conform import pairs
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.flows.compile.type_inference.column_uses import Uses, cells_after, uses_of_node, uses_of_op
from headrace.ir import PipelineIR
from headrace.ir.nodes import ArchiveNode, JoinNode, SourceNode, TargetNode, TransformNode, producer
from headrace.ir.schema import Field

Known = TypeVar("Known")
Origin = tuple[str, str]
"""A source node and one of its columns."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A column that holds cells of source columns, of one in each row; `whole`: unchanged."""

    origins: tuple[Origin, ...]
    whole: bool = True

    def changed(self) -> Cell:
        """The cell after a change."""
        return replace(self, whole=False)


def _one_of(cells: Sequence[Cell]) -> Cell:
    """A column that holds one of the cells in each row."""
    origins = dict.fromkeys(origin for cell in cells for origin in cell.origins)
    return Cell(tuple(origins), all(cell.whole for cell in cells))


@dataclass(slots=True)
class ColumnTrace:
    """The trace of one column: the target columns it reaches unchanged, by target node, the columns it is joined with,
    and how it is used (fields as in `Uses`)."""

    targets: dict[str, list[TargetColumn]] = field(default_factory=dict)
    mates: list[Origin] = field(default_factory=list)
    value: bool = False
    number: bool = False
    order: bool = False
    key: bool = False
    text: bool = False
    added: bool = False
    """The column is added to a table, in the type of its values."""

    @property
    def looked_at(self) -> bool:
        """Whether a typed value is needed anywhere."""
        return self.value or self.number or self.order or self.added


@dataclass(frozen=True, slots=True)
class SchemaTrace:
    """`columns` by origin; `ends` are the targets downstream of each source."""

    columns: Mapping[Origin, ColumnTrace]
    ends: Mapping[str, frozenset[str]]


def trace_columns(
    ir: PipelineIR,
    sources: Mapping[str, Sequence[Field]],
    targets: Mapping[str, Sequence[TargetColumn]],
    schemas: Mapping[str, Sequence[str]],
) -> SchemaTrace:
    """Follows every column of the `sources` through the document. `schemas` are the output columns of nodes, where they
    are known."""
    found = {(node, column.name): ColumnTrace() for node, columns in sources.items() for column in columns}
    cells: dict[str, dict[str, Cell]] = {}
    ends: dict[str, set[str]] = {node: set() for node in sources}
    reached: dict[str, set[str]] = {}
    nodes = {node.id: node for node in ir.nodes}
    order = TopologicalSorter({node.id: [*map(producer, node.inputs)] for node in ir.nodes}).static_order()
    for node_id in order:
        node = nodes[node_id]
        if isinstance(node, SourceNode | ArchiveNode):
            cells[node_id] = {each.name: Cell(((node_id, each.name),)) for each in sources.get(node_id, ())}
            reached[node_id] = {node_id}
            continue
        inputs = [producer(reference) for reference in node.inputs]
        before = [cells.get(each, {}) for each in inputs]
        reached[node_id] = set().union(*(reached.get(each, set()) for each in inputs))
        match node:
            case TransformNode():
                cells[node_id] = _through(node, before[0], found, _visible(schemas.get(inputs[0])))
            case JoinNode():
                for pair in node.on:
                    _compared(before[0].get(pair.left), before[1].get(pair.right), found)
                cells[node_id] = joined(node, before[0], before[1], schemas.get(inputs[0], tuple(before[0])))
            case TargetNode():
                for source in reached[node_id]:
                    ends.setdefault(source, set()).add(node_id)
                _arrive(node, before[0], schemas.get(inputs[0], tuple(before[0])), targets.get(node_id), found)
            case _:
                _note(uses_of_node(node, before[0]), before[0], found)
                made = getattr(node, "output_field", None)
                cells[node_id] = {name: cell for name, cell in before[0].items() if name != made}
    return SchemaTrace(found, {node: frozenset(names) for node, names in ends.items()})


def joined(
    node: JoinNode, left: Mapping[str, Known], right: Mapping[str, Known], names: Sequence[str]
) -> dict[str, Known]:
    """The traced output columns of a join, from both sides; `names` are all columns of the left side."""
    made = dict(left)
    if node.type in ("semi", "anti"):
        return made
    keys = {pair.right for pair in node.on}
    for name, cell in right.items():
        if name not in keys:
            made[f"{name}{node.suffix}" if name in names else name] = cell
    return made


def _visible(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else [name for name in columns if not reserved(name)]


def _through(
    node: TransformNode, cells: dict[str, Cell], found: Mapping[Origin, ColumnTrace], columns: Sequence[str] | None
) -> dict[str, Cell]:
    for op in node.ops:
        _note(uses_of_op(op, cells, columns=columns), cells, found)
        cells = cells_after(op, cells, Cell.changed, _one_of, columns=columns)
        columns = None
    return cells


def _note(uses: Uses, cells: Mapping[str, Cell], found: Mapping[Origin, ColumnTrace]) -> None:
    def of(names: frozenset[str]) -> Iterator[ColumnTrace]:
        return (found[origin] for name in names for origin in cells[name].origins)

    for each in of(uses.value):
        each.value = True
    for each in of(uses.number):
        each.number = True
    for each in of(uses.order):
        each.order = True
    for each in of(uses.key):
        each.key = True
    for each in of(uses.text):
        each.text = True


def _compared(left: Cell | None, right: Cell | None, found: Mapping[Origin, ColumnTrace]) -> None:
    for one, other in ((left, right), (right, left)):
        for origin in one.origins if one is not None else ():
            found[origin].key = True
            found[origin].mates.extend(other.origins if other is not None else ())


def _arrive(
    node: TargetNode,
    cells: Mapping[str, Cell],
    names: Sequence[str],
    table: Sequence[TargetColumn] | None,
    found: Mapping[Origin, ColumnTrace],
) -> None:
    if table is None:
        return
    by_name = {column.field.name: column for column in table if column.writable}
    matching = pairs(node, names, tuple(by_name))
    for name, source in matching.items():
        cell = cells.get(source)
        if cell is not None and cell.whole and name in by_name:
            for origin in cell.origins:
                found[origin].targets.setdefault(node.id, []).append(by_name[name])
    if node.schema_contract == "evolve":
        for name, cell in cells.items():
            if name not in matching.values():
                for origin in cell.origins:
                    found[origin].added = True
