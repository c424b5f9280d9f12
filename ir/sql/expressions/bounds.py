"""Bounds on the size of an expression's result for one row, estimated on the tree before anything is computed.

A value of the row is assumed to have CELL characters. The size of padded or replaced text is estimated from that
through all levels, and operands that polars repeats in its plan are counted as often.
"""

from __future__ import annotations

from operator import mul

from headrace.ir.sql.errors import too_much
from headrace.ir.sql.expressions.functions import BOOLEAN, FUNCTIONS, LIST, NUMBER
from headrace.ir.sql.expressions.tree import Node, Tree

CELL = 100
"""The assumed number of characters of a value in the row."""
MAX_TEXT = 100_000
"""The largest estimated number of characters of a value of an expression."""
MAX_PADDED = 10_000
"""The largest length that LPAD and RPAD pad to."""
MAX_COPIES = 2_000
"""Nodes that polars adds to a plan because it repeats operands: LEFT repeats its operands four times."""

_PLAIN = 40
"""Characters of a number or a date as text."""
_VIEW = 16
"""Bytes of a list element in addition to its text."""
_LETTERS = {"UPPER": 3, "LOWER": 3, "INITCAP": 3, "NORMALIZE": 18}
"""The largest number of characters that one character becomes: an upper-case ß, a decomposed ligature."""


def check(tree: Tree) -> None:
    """Raises Refused if the expression exceeds the bounds."""
    sizes: list[int] = []
    weights: list[int] = []
    most = 4 * len(tree.nodes) + MAX_COPIES
    for node in tree.nodes:
        size = _size(node, tree.nodes, sizes)
        sizes.append(size)
        weight = 1
        if node.args:
            weight += sum(map(mul, _copies(node, tree), map(weights.__getitem__, node.args)))
        weights.append(weight)
        if size > MAX_TEXT:
            message = f"{_shown(node)} could give a text of more than {MAX_TEXT:,} characters for one row"
            raise too_much(message, f"the limit assumes values of {CELL} characters: use several expressions")
        if weight > most:
            message = f"{_shown(node)} is nested too deeply: its operands would be computed again for each level"
            raise too_much(message, "compute the inner part as a column first")


def _size(node: Node, nodes: tuple[Node, ...], sizes: list[int]) -> int:
    if not node.args and node.kind != "call":
        return CELL if node.kind == "column" else len(node.name) if node.kind == "text" else _PLAIN
    args = [sizes[arg] for arg in node.args]
    match node.kind:
        case "operator" if node.name in ("||", "+"):
            return sum(args)
        case "cast":
            return args[0] + _PLAIN
        case "group" | "element":
            return args[0]
        case "case":
            return max(args)
        case "list":
            return sum(args) + _VIEW * len(args)
        case "call":
            return _made(node, nodes, args)
    return _PLAIN


def _made(node: Node, nodes: tuple[Node, ...], args: list[int]) -> int:
    match node.name:
        case "CONCAT":
            return sum(args)
        case "CONCAT_WS":
            return sum(args[1:]) + args[0] * (len(args) - 2)
        case "LPAD" | "RPAD":
            count = int(nodes[node.args[1]].name)
            if count > MAX_PADDED:
                raise too_much(f"{node.name} pads to at most {MAX_PADDED:,} characters, not {count:,}", "use fewer")
            return count
        case "REPLACE":
            return max(args[0], _replaced(args[0], nodes[node.args[1]], args[2]))
        case "REGEXP_REPLACE":
            again = nodes[node.args[2]].name.count("$")
            return args[0] * (1 + again) + (args[0] + 1) * args[2]
        case "ARRAY_TO_STRING":
            return args[0] + (args[0] + 1) * sum(args[1:])
        case "STRING_TO_ARRAY":
            return (args[0] + 1) * _VIEW
        case "STRFTIME":
            return _PLAIN * args[1]
    gives = FUNCTIONS[node.name].gives if node.name in FUNCTIONS else NUMBER
    if gives in (NUMBER, BOOLEAN):
        return _PLAIN
    if gives == LIST or not args:
        return max(args, default=_PLAIN)
    return max(args) * _LETTERS.get(node.name, 1)


def _replaced(text: int, sought: Node, by: int) -> int:
    if sought.kind == "text" and sought.name:
        return text // len(sought.name) * by + text
    return (text + 1) * by + text


def _copies(node: Node, tree: Tree) -> tuple[int, ...]:
    """Returns how often polars repeats each operand."""
    many = len(node.args)
    match node.kind:
        case "between":
            return (2, 1, 1)
        case "in":
            written = all(tree.nodes[arg].kind in ("text", "number", "constant", "sign") for arg in node.args[1:])
            return (1 if written else many - 1, *(1,) * (many - 1))
        case "case" if node.name == "simple":
            return (many // 2, *(1,) * (many - 1))
        case "element":
            return (1, 3)
        case "call" if node.name in FUNCTIONS and FUNCTIONS[node.name].copies:
            return FUNCTIONS[node.name].copies
        case "call" if node.name == "EXTRACT":
            return (3,)
    return (1,) * many


def _shown(node: Node) -> str:
    return node.name if node.kind == "call" else "The expression"
