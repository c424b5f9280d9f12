"""Type checks of a document before it runs, as far as its types are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.connectors.registry import config_problems, connectors, reader
from headrace.flows.compile import ReferenceTable, TargetColumn, logical_plan, shape_problems
from headrace.flows.compile.target.api_columns import known_api_columns
from headrace.flows.compile.target.conform import no_column
from headrace.flows.runtime.deletes.traced import traced_keys
from headrace.flows.runtime.hooks.check import hook_problems
from headrace.flows.runtime.targets.load_modes import columns_for, unknown_table
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import SourceNode, TargetNode
from headrace.ir.parsing.archive_nodes import archive_of, archived_sources
from headrace.ir.schema import Schema


def check_types(
    ir: PipelineIR,
    tables: Mapping[str, ReferenceTable] | None = None,
    found: Mapping[str, Schema] | None = None,
) -> list[Problem]:
    """Problems of a well-formed document that would fail every run: an unknown column or function, an impossible cast,
    an invalid setting of a source. Nodes after a source without declared `fields` are checked with the columns in
    `found` (by node id); without these they are only checked when the source is read. Lookups and the nodes after them
    are checked when the tenant's `tables` are given."""
    sources = {node.id: node for node in ir.nodes if isinstance(node, SourceNode)}
    declared = {name: columns for name, columns in (found or {}).items() if name in sources}
    declared |= {node.id: node.declared for node in sources.values() if node.fields}
    problems = [*shape_problems(ir), *_source_problems(ir), *hook_problems(ir, tables)]
    logical = logical_plan(ir, declared, known_api_columns(ir), tables=tables, assumed=True)
    return [*problems, *logical.problems, *traced_keys(ir, logical)[1]]


def check_targets(
    ir: PipelineIR,
    connection: psycopg.Connection[Any],
    tables: Mapping[str, ReferenceTable],
    found: Mapping[str, Schema],
) -> list[Problem]:
    """Problems of a document that passes `check_types` with its target tables: a table that is not the tenant's, a
    required column without a value, a column that the table lacks. `found` as in `check_types`. Tables in the databases
    of connectors are checked by a plan only."""
    problems: list[Problem] = []
    targets: dict[str, list[TargetColumn]] = {**known_api_columns(ir)}
    for index, node in enumerate(ir.nodes):
        if isinstance(node, TargetNode) and node.connection is None and node.connector is None:
            try:
                if node.table not in tables:
                    raise unknown_table(node.table, tables)
                targets[node.id] = columns_for(node, describe_table(connection, node.table))
            except TargetError as error:
                problems.append(Problem(f"nodes[{index}].schema", error.code, error.message, error.hint))
    sources = [node for node in ir.nodes if isinstance(node, SourceNode)]
    declared = {node.id: found[node.id] for node in sources if node.id in found}
    declared |= {node.id: node.declared for node in sources if node.fields}
    listed = logical_plan(ir, declared, targets, tables=tables).problems
    if any(not node.fields for node in sources):  # undeclared columns are read with the types of the table
        listed = tuple(each for each in listed if each.code != "impossible_cast")
    places = {each.path for each in listed}
    for index, node in enumerate(ir.nodes):  # also when the columns of the rows are not known yet
        if isinstance(node, TargetNode) and node.id in targets:
            writable = [column.field.name for column in targets[node.id] if column.writable]
            for name in node.mapping:
                path = f"nodes[{index}].mapping.{name}"
                if name not in writable and path not in places:
                    problems.append(Problem(path, "unknown_column", *no_column(node, name, writable)))
    return [*problems, *listed]


def _source_problems(ir: PipelineIR) -> Iterator[Problem]:
    nothing_to_archive = set()
    for path, source in archived_sources(ir):
        if (known := connectors().get(source.connector) or reader(source.connector)) is not None and not known.files:
            nothing_to_archive.add(source.id)
            message = f"The source '{source.id}' reads {source.connector}, which has no files to archive"
            yield Problem(path, "no_files", message, "remove the archive node")
    for index, node in enumerate(ir.nodes):
        if isinstance(node, SourceNode):
            for problem in config_problems(node.connector, node.config):
                if node.id in nothing_to_archive and problem.path.startswith("config.atomicity"):
                    continue  # set by the archive node, whose problem is already reported
                folded = archive_of(ir, node.id) if problem.path == "config.atomicity.successFolder" else None
                yield replace(problem, path=folded[0] if folded else f"nodes[{index}].{problem.path}")
