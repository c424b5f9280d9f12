"""The tree of a SQL expression, as a list of nodes in post-order: operands before their operators. So it is processed
by a loop, without recursion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from headrace.ir.sql.expressions.functions import BYTES, FUNCTIONS, TEXT, TYPES


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is one of the words below, `name` says which one of the kind, `args` are the indexes of its operands, and
    `written` is its SQL: texts, and indexes of operands.

    `column` (name: the first part), `text`, `number`, `constant` (NULL, TRUE, FALSE), `moment` (name: its type),
    `interval`, `call` (a function), `operator`, `not`, `sign`, `between`, `in`, `match` (LIKE and its kin), `is`,
    `case`, `cast` (name: the type), `list`, `element`, `group` (parentheses)."""

    kind: str
    name: str
    args: tuple[int, ...]
    written: tuple[str | int, ...]


@dataclass(frozen=True)
class Tree:
    """A parsed expression. The last node is the root."""

    nodes: tuple[Node, ...]

    @cached_property
    def sql(self) -> str:
        """The SQL written from the tree: names quoted, texts escaped, keywords from the grammar."""
        texts: list[str] = []
        for node in self.nodes:
            texts.append("".join(each if isinstance(each, str) else texts[each] for each in node.written))
        return texts[-1]

    @cached_property
    def typing(self) -> str:
        """The SQL for type inference: text that is computed from literals only is replaced by the column CONSTANT_TEXT,
        so that nothing is computed when there are no rows."""
        texts: list[str] = []
        constant: list[bool] = []
        textual: list[bool] = []
        for node in self.nodes:
            constant.append(node.kind != "column" and all(constant[arg] for arg in node.args))
            textual.append(node.kind == "text" or any(textual[arg] for arg in node.args))
            texts.append("".join(each if isinstance(each, str) else texts[each] for each in node.written))
            if constant[-1] and _makes_text(node, textual[-1]):
                texts[-1] = quoted_name(CONSTANT_TEXT)
        return texts[-1]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns in the expression, without duplicates."""
        return tuple(dict.fromkeys(node.name for node in self.nodes if node.kind == "column"))

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """The regular expressions in the expression."""
        found = (self.nodes[node.args[1]].name for node in self.nodes if is_pattern(node))
        return tuple(dict.fromkeys(found))


CONSTANT_TEXT = "__constant_text"
"""A column that exists only during type inference."""


def _makes_text(node: Node, textual: bool) -> bool:
    match node.kind:
        case "cast":
            return TYPES.get(node.name) in (TEXT, BYTES)
        case "operator":
            return node.name == "||" or (node.name == "+" and textual)
        case "call":
            return node.name in FUNCTIONS and FUNCTIONS[node.name].gives == TEXT
    return False


def is_pattern(node: Node) -> bool:
    """Whether the second operand of the node is a regular expression."""
    return (node.kind == "match" and node.name not in LIKES) or (node.kind == "call" and node.name in REGEXES)


LIKES = frozenset({"LIKE", "ILIKE", "~~", "~~*", "!~~", "!~~*"})
REGEXES = frozenset({"REGEXP_LIKE", "REGEXP_REPLACE"})


def quoted_name(name: str) -> str:
    """Quotes a column name for polars."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """Quotes a text for polars, where backslashes have no meaning."""
    return "'" + text.replace("'", "''") + "'"
