"""Checks of a document with the columns that were found in its sources before: they may have changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC

from headrace.catalog.found_columns import FoundSource
from headrace.flows.compile import ReferenceTable
from headrace.flows.validation.check import check_types
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import producer
from headrace.ir.schema import Field

_AGAIN = "if the source has changed since, look at it again (plan, preview or discover), or repeat with ?confirm=true"


@dataclass(frozen=True, slots=True)
class FoundProblems:
    """`misspelt` are columns that were not found, where one of a similar name was; `others` may as well mean that the
    source has changed, or that a guessed type is another."""

    misspelt: tuple[Problem, ...] = ()
    others: tuple[Problem, ...] = ()

    @property
    def all(self) -> tuple[Problem, ...]:
        """Both."""
        return self.misspelt + self.others


def found_problems(
    ir: PipelineIR, tables: Mapping[str, ReferenceTable], found: Mapping[str, FoundSource]
) -> FoundProblems:
    """Problems that depend on the columns `found` in sources without `fields`, by node. Each names its basis. Problems
    of an inferred type are omitted if the document is valid with the column as text."""
    if not found:
        return FoundProblems()
    known = {(each.path, each.code) for each in check_types(ir, tables)}
    problems = check_types(ir, tables, {node: each.columns for node, each in found.items()})
    listed = [each for each in problems if (each.path, each.code) not in known]
    if listed and any(each.guessed for each in found.values()):
        texts = check_types(ir, tables, {node: _as_text(each) for node, each in found.items()})
        also = {(each.path, each.code) for each in texts}
        listed = [each for each in listed if (each.path, each.code) in also]
    shown = [replace(each, message=f"{each.message} ({_basis(ir, each.path, found)})") for each in listed]
    misspelt = [each for each in shown if each.code == "unknown_column" and each.hint.startswith("did you mean")]
    others = [each for each in shown if each not in misspelt]
    return FoundProblems(tuple(replace(each, hint=f"{each.hint} {_AGAIN}") for each in misspelt), tuple(others))


def _as_text(found: FoundSource) -> tuple[Field, ...]:
    return tuple(Field(each.name, "text") if each.name in found.guessed else each for each in found.columns)


def _basis(ir: PipelineIR, path: str, found: Mapping[str, FoundSource]) -> str:
    """The basis of a problem: the inspected sources upstream of its node, and when they were inspected."""
    position = path.partition("[")[2].partition("]")[0]
    before = set(_before(ir, ir.nodes[int(position)].id)) if position.isdigit() else set(found)
    listed = [
        f"'{node}' as found at {each.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for node, each in found.items()
        if node in before
    ]
    return f"the columns of {' and '.join(listed)}"


def _before(ir: PipelineIR, node_id: str) -> Iterator[str]:
    waiting, seen = [node_id], {node_id}
    while waiting:
        node = waiting.pop()
        yield node
        earlier = {producer(reference) for reference in ir.node(node).inputs} - seen
        seen |= earlier
        waiting += earlier
