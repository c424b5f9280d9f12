"""Rewrites an expression so that times, timestamps and numbers that it makes text of are written as PostgreSQL writes
them. The engine's own cast leaves out the fraction of a time, and fills up that of a timestamp with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from headrace.ir.sql.expressions.as_written import chosen, makes_text
from headrace.ir.sql.expressions.functions import FUNCTIONS, TEMPORAL, TEXT, TIME, TIME_OF_DAY, TYPES
from headrace.ir.sql.expressions.tree import Node, Tree, quoted_text

TIME_WITH_ZONE = "a time in UTC"
"""The type of a timestamp with a time zone; TIME is one without."""

_WRITTEN = {
    TIME_OF_DAY: ("RTRIM(RTRIM(STRFTIME(", ", '%H:%M:%S%.6f'), '0'), '.')"),
    TIME: ("RTRIM(RTRIM(STRFTIME(", ", '%Y-%m-%d %H:%M:%S%.6f'), '0'), '.')"),
    TIME_WITH_ZONE: ("(RTRIM(RTRIM(STRFTIME(", ", '%Y-%m-%d %H:%M:%S%.6f'), '0'), '.') || '+00')"),
}
"""By type, the SQL before and after a value. The value occurs once, so that nested casts do not grow."""
_JOINS = {"CONCAT": 0, "CONCAT_WS": 1}
"""Functions that make text of the arguments from this one on."""


def value_texts(tree: Tree, temporal: Callable[[str], bool], type_of: Callable[[Tree], str | None]) -> Tree:
    """`temporal` says whether a column is a time or timestamp, `type_of` is the type of an expression: TEXT,
    TIME_OF_DAY, TIME, TIME_WITH_ZONE, or None for any other."""
    times = any(_may_be_time(node, temporal) for node in tree.nodes)
    made: list[Node] = []
    places: list[int] = []
    for index, node in enumerate(tree.nodes):
        texts: dict[int, int] = {}
        for arg in _made_text_of(tree, index, type_of if times else lambda part: None):
            text = _literal(tree, arg)
            if text is None and times and (form := _WRITTEN.get(_type(tree, arg, temporal, type_of) or "")) is not None:
                text = Node("call", "RTRIM", (places[arg],), (form[0], places[arg], form[1]))
            if text is not None:
                texts[arg] = len(made)
                made.append(text)
        written = tuple(each if isinstance(each, str) else texts.get(each, places[each]) for each in node.written)
        made.append(replace(node, args=tuple(texts.get(arg, places[arg]) for arg in node.args), written=written))
        places.append(len(made) - 1)
    return Tree(tuple(made)) if len(made) > len(tree.nodes) else tree


def _may_be_time(node: Node, temporal: Callable[[str], bool]) -> bool:
    match node.kind:
        case "column":
            return len(node.written) != 1 or temporal(node.name)
        case "moment":
            return True
        case "cast":
            return TYPES.get(node.name) in TEMPORAL
        case "call":
            return node.name in FUNCTIONS and FUNCTIONS[node.name].gives in TEMPORAL
    return False


def _made_text_of(tree: Tree, index: int, type_of: Callable[[Tree], str | None]) -> Iterator[int]:
    """The operands of a node that it makes text of."""
    node = tree.nodes[index]
    if node.kind == "call" and node.name in _JOINS:
        yield from node.args[_JOINS[node.name] :]
    elif node.kind in ("cast", "operator") and makes_text(node):
        yield from node.args
    elif (results := chosen(node)) and len(results) > 1 and type_of(_part(tree, index)) == TEXT:
        yield from sorted(results)


def _type(tree: Tree, index: int, temporal: Callable[[str], bool], type_of: Callable[[Tree], str | None]) -> str | None:
    node = tree.nodes[index]
    if node.kind in ("text", "number", "constant") or makes_text(node):
        return None
    if node.kind == "column" and not _may_be_time(node, temporal):
        return None
    return type_of(_part(tree, index))


def _part(tree: Tree, index: int) -> Tree:
    """The expression whose root is the node."""
    node = tree.nodes[index]
    return Tree(tree.nodes[: index + 1] if node.args else (node,))


def _literal(tree: Tree, index: int) -> Node | None:
    """The text of a number that is written out with a fraction: the engine would make 1.5 of 1.50."""
    node = tree.nodes[index]
    sign = ""
    if node.kind == "sign" and node.name == "-":
        sign, node = "-", tree.nodes[node.args[0]]
    whole, dot, fraction = node.name.partition(".")
    if node.kind != "number" or not dot or not whole.isdigit() or not fraction.isdigit():
        return None
    text = f"{sign}{int(whole)}.{fraction}"
    return Node("text", text, (), (quoted_text(text),))
