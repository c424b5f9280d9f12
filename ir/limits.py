"""How large a document may be: what is beyond anybody's pipeline is refused before work is done that grows with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ir.problems import Problem

MAX_NODES = 1_000
MAX_STEPS = 2_000
"""Ops, rules, routes and hooks of all nodes together: each is compiled when a document is saved."""
MAX_VALUES = 100_000
"""Members of objects and elements of lists, all together."""
MAX_CHARACTERS = 1_000_000
"""Of all texts together."""

MAX_OPERATORS = 10_000
"""In all SQL expressions together: looking at one takes a time that grows with the square of its operators."""

OPERATOR = re.compile(r"[^\w\s,().'\"`]+|\b(?:and|or|is)\b", re.IGNORECASE)
"""What makes an expression deep; long lists and calls do not."""

_STEPS = ("ops", "rowLevel", "routes", "preHook", "postHook")


def too_large(document: object) -> Problem | None:
    """The limit that a document (decoded JSON, of any shape) exceeds, or None. The work is bounded by the limits."""
    if not isinstance(document, Mapping):
        return None
    nodes = document.get("nodes")
    if isinstance(nodes, list | tuple):
        if len(nodes) > MAX_NODES:
            message = f"A pipeline has at most {MAX_NODES:,} nodes, not {len(nodes):,}"
            return Problem("nodes", "too_many_nodes", message, "make several pipelines of it")
        steps = sum(_length(node.get(key)) for node in nodes if isinstance(node, Mapping) for key in _STEPS)
        if steps > MAX_STEPS:
            message = f"A pipeline has at most {MAX_STEPS:,} ops, rules, routes and hooks, not {steps:,}"
            return Problem("nodes", "too_many_steps", message, "make several pipelines of it")
    if (beyond := _size_problem(document)) is not None:
        return beyond
    if (
        isinstance(nodes, list | tuple)
        and sum(len(OPERATOR.findall(sql)) for sql in _expressions(nodes)) > MAX_OPERATORS
    ):
        message = f"The expressions of a pipeline have at most {MAX_OPERATORS:,} operators"
        return Problem("nodes", "too_many_operators", message, "make several pipelines of it")
    return None


def _expressions(nodes: Any) -> Iterator[str]:
    for node in nodes:
        for key, name in (("ops", "expression"), ("routes", "when"), ("rowLevel", "rule")):
            steps = node.get(key) if isinstance(node, Mapping) else None
            for step in steps if isinstance(steps, list | tuple) else ():
                text = step.get(name) if isinstance(step, Mapping) else None
                if isinstance(text, str) and (name != "rule" or text.lstrip().startswith("expr")):
                    yield text


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


def _size_problem(document: object) -> Problem | None:
    values, characters, pending = 0, 0, [document]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, Mapping | list | tuple):
            values += len(each)
            pending += each.values() if isinstance(each, Mapping) else each
            if isinstance(each, Mapping):
                characters += sum(len(str(key)) for key in each)
        if values > MAX_VALUES:
            return _too_large(f"{MAX_VALUES:,} values")
        if characters > MAX_CHARACTERS:
            return _too_large(f"{MAX_CHARACTERS:,} characters in texts")
    return None


def _too_large(limit: str) -> Problem:
    return Problem("", "too_large", f"A document has at most {limit}", "make several pipelines of it")
