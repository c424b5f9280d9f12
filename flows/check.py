"""What can be said of a document before anything runs: does it compile, as far as its types are declared?"""

from __future__ import annotations

from flows.compile import logical_plan, shape_problems
from ir import PipelineIR, Problem
from ir.nodes import SourceNode


def check_types(ir: PipelineIR) -> list[Problem]:
    """Problems of a well-formed document that would stop every run of it: a misspelt column, a wrong function, an
    impossible cast. Nodes behind a source without declared `fields` are checked when the source is first read."""
    declared = {node.id: node.declared for node in ir.nodes if isinstance(node, SourceNode) and node.fields}
    return [*shape_problems(ir), *logical_plan(ir, declared, {}).problems]
