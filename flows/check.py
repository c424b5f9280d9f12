"""What can be said of a document before anything runs: does it compile, as far as its types are declared?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from connectors.registry import config_problems
from flows.compile import ReferenceTable, logical_plan, shape_problems
from flows.runtime.hooks.check import hook_problems
from ir import PipelineIR, Problem
from ir.archives import archive_of
from ir.nodes import SourceNode


def check_types(ir: PipelineIR, tables: Mapping[str, ReferenceTable] | None = None) -> list[Problem]:
    """Problems of a well-formed document that would stop every run of it: a misspelt column, a wrong function, an
    impossible cast, a setting of a source that cannot be. Nodes behind a source without declared `fields` are checked
    when the source is first read, lookups and what is behind them where the tenant's `tables` are given."""
    declared = {node.id: node.declared for node in ir.nodes if isinstance(node, SourceNode) and node.fields}
    problems = [*shape_problems(ir), *_source_problems(ir), *hook_problems(ir, tables)]
    return [*problems, *logical_plan(ir, declared, {}, tables=tables).problems]


def _source_problems(ir: PipelineIR) -> Iterator[Problem]:
    for index, node in enumerate(ir.nodes):
        if isinstance(node, SourceNode):
            for problem in config_problems(node.connector, node.config):
                folded = archive_of(ir, node.id) if problem.path == "config.atomicity.successFolder" else None
                yield replace(problem, path=folded[0] if folded else f"nodes[{index}].{problem.path}")
