"""Limits on the size of a document, checked before any work whose cost grows with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.ir.parsing.regex_cost import pattern_weight, weight_in_sql
from headrace.ir.problems import Problem

MAX_NODES = 1_000
MAX_STEPS = 2_000
"""Ops, rules, routes and hooks of all nodes: each is compiled when a document is saved."""
MAX_VALUES = 100_000
"""Members of objects and elements of lists in the whole document."""
MAX_CHARACTERS = 1_000_000
"""Characters of all texts."""

MAX_OPERATOR_SQUARES = 600_000
"""Sum over all SQL expressions of the squared number of operators: the time to check one grows with that square."""
MAX_WORDS = 100_000
"""Names, numbers and texts in all SQL expressions."""
MAX_QUERY_WORDS = 20_000
"""The same in all queries of the op `sql`, whose parser is slower."""
MAX_QUERIES = 300
"""Ops of the type `sql`: checking one costs as much as many other ops."""

MAX_COLUMN_WORK = 8_000_000
"""Sum of the columns before each node and op, times a weight: 1 for an op that adds or changes columns, more for the
nodes and ops below."""
NODE, RESHAPED, GATHERED = 16, 64, 256

MAX_PART_SQUARES = 600_000
"""Sum over all `split` ops of the squared number of columns: each column is taken from all the parts."""

MAX_PATTERN_WEIGHT = 500_000
"""Sum over all regular expressions (`ir.parsing.regex_cost`): about half a second."""

OPERATOR = re.compile(r"[^\w\s,().'\"`]+|\b(?:and|or|is)\b", re.IGNORECASE)
"""Operators nest an expression; long lists and calls do not."""

_WORD = re.compile(r"'[^']*'|[\w.]+")

_PATTERN = re.compile(r"\s*regex\s*:", re.IGNORECASE)

_TEXTS = {"ops": ("expression", "query"), "routes": ("when",), "rowLevel": ("rule",)}

_STEPS = ("ops", "rowLevel", "routes", "preHook", "postHook")


def too_large(document: object) -> Problem | None:
    """Returns a problem for the limit that a document (decoded JSON of any shape) exceeds, or None. The work is bounded
    by the limits."""
    if not isinstance(document, Mapping):
        return None
    nodes = document.get("nodes")
    if isinstance(nodes, list | tuple):
        if len(nodes) > MAX_NODES:
            message = f"A pipeline has at most {MAX_NODES:,} nodes, not {len(nodes):,}"
            return Problem("nodes", "too_many_nodes", message, "make several pipelines of it")
        steps = sum(map(_steps, nodes))
        if steps > MAX_STEPS:
            message = f"A pipeline has at most {MAX_STEPS:,} ops, rules, routes and hooks, not {steps:,}"
            return Problem("nodes", "too_many_steps", message, "make several pipelines of it")
    if (beyond := _size_problem(document)) is not None:
        return beyond
    return (_sql_problem(nodes) or _op_problem(nodes)) if isinstance(nodes, list | tuple) else None


def _sql_problem(nodes: Any) -> Problem | None:
    squares = words = 0
    for sql in _expressions(nodes):
        squares += len(OPERATOR.findall(sql)) ** 2
        words += sum(1 for _ in _WORD.finditer(sql))
    if squares > MAX_OPERATOR_SQUARES:
        message = f"The expressions of a pipeline have too many operators: their squares add up to {squares:,}"
        hint = f"at most {MAX_OPERATOR_SQUARES:,}: divide long expressions into several"
        return Problem("nodes", "too_many_operators", message, hint)
    asked = sum(1 for name, sql in _texts(nodes) if name == "query" for _ in _WORD.finditer(sql))
    if asked > MAX_QUERY_WORDS:
        message = f"The queries of a pipeline have at most {MAX_QUERY_WORDS:,} names, numbers and texts, not {asked:,}"
        return Problem("nodes", "too_many_words", message, "look long lists up in a table: lookup_join, exists")
    if words > MAX_WORDS:
        message = f"The expressions of a pipeline have at most {MAX_WORDS:,} names, numbers and texts, not {words:,}"
        return Problem("nodes", "too_many_words", message, "look long lists up in a table: lookup_join, exists")
    return None


def _op_problem(nodes: Any) -> Problem | None:
    ops = [op for node in nodes if isinstance(node, Mapping) for op in _ops(node)]
    parts = sum(len(_listed(op.get("into"))) ** 2 for op in ops if _type(op) == "split")
    if parts > MAX_PART_SQUARES:
        message = f"The splits of a pipeline make too many columns: their squares add up to {parts:,}"
        return Problem(
            "nodes", "too_many_parts", message, f"at most {MAX_PART_SQUARES:,}: divide a split into several ops"
        )
    queries = sum(_type(op) == "sql" for op in ops)
    if queries > MAX_QUERIES:
        message = f"A pipeline has at most {MAX_QUERIES:,} ops of the type sql, not {queries:,}"
        return Problem("nodes", "too_many_queries", message, "use other ops, or make several pipelines of it")
    if _pattern_weight(nodes) > MAX_PATTERN_WEIGHT:
        message = "The regular expressions of a pipeline are too large in total"
        hint = "shorten them, above all counts in braces: \\w{100} costs a hundred times \\w, and [a-z] costs much less"
        return Problem("nodes", "too_many_patterns", message, hint)
    return None


def _pattern_weight(nodes: Any) -> int:
    """Returns the weight of all patterns in row rules, splits, file names and SQL; stops above the limit."""
    weight = 0
    for name, text in _texts(nodes):
        pattern = _PATTERN.match(text) if name == "rule" else None
        weight += weight_in_sql(text) if pattern is None else pattern_weight(text[pattern.end() :])
        if weight > MAX_PATTERN_WEIGHT:
            break
    weight += sum(_split_weight(op) for node in nodes if isinstance(node, Mapping) for op in _ops(node))
    return weight + sum(_names_weight(node.get("config")) for node in nodes if isinstance(node, Mapping))


def _names_weight(config: object) -> int:
    """Returns the weight of a source's pattern of file names, which is compiled a few times."""
    pattern = config.get("pattern") if isinstance(config, Mapping) else None
    if not isinstance(pattern, Mapping) or pattern.get("type") != "regex":
        return 0
    value = pattern.get("value")
    return 3 * pattern_weight(value) if isinstance(value, str) else 0


def _split_weight(op: object) -> int:
    """Returns the weight of a split's pattern, which is compiled for each of its columns."""
    if not isinstance(op, Mapping) or not isinstance(pattern := op.get("pattern"), str):
        return 0
    return pattern_weight(pattern) * (1 + len(_listed(op.get("into"))))


def _ops(node: Mapping[str, Any]) -> Any:
    return _listed(node.get("ops"))


def _expressions(nodes: Any) -> Iterator[str]:
    for name, text in _texts(nodes):
        if name in ("expression", "when") or (name == "rule" and text.lstrip().startswith("expr")):
            yield text


def _texts(nodes: Any) -> Iterator[tuple[str, str]]:
    for node in nodes:
        for key, names in _TEXTS.items():
            for step in _listed(node.get(key)) if isinstance(node, Mapping) else ():
                for name in names:
                    text = step.get(name) if isinstance(step, Mapping) else None
                    if isinstance(text, str):
                        yield name, text


def _steps(node: object) -> int:
    """Counts the ops, rules, routes and hooks of one node."""
    if not isinstance(node, Mapping):
        return 0
    rules = node.get("datasetLevel")
    kinds = rules.values() if isinstance(rules, Mapping) else ()
    return sum(len(_listed(node.get(key))) for key in _STEPS) + sum(len(_listed(rule)) or 1 for rule in kinds)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else ()


def _type(op: object) -> object:
    return op.get("type") if isinstance(op, Mapping) else None


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
