"""The base of the parser of expressions: tokens, nodes, lists, and the types of casts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.ir.problems import nearest
from headrace.ir.sql.errors import Refused, not_row_local, too_much, unreadable
from headrace.ir.sql.expressions.functions import (
    DECIMALS,
    MAX_DIGITS,
    TYPES,
    UNSIGNED,
    VARYING,
    WITH_ZONE,
    WITHOUT_SIZE,
)
from headrace.ir.sql.expressions.tokens import Token
from headrace.ir.sql.expressions.tree import Node, quoted_text

MAX_DEPTH = 40
"""The largest depth of nested parentheses, calls and CASE."""

QUERIES = {"SELECT", "WITH", "VALUES", "EXISTS", "TABLE"}
"""Words that begin a query."""


class Reader(ABC):
    """One pass over the tokens, from left to right. `nodes` are those read so far."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens, self._at = found, 0
        self.nodes: list[Node] = []
        self._depth = self._operators = self._branches = 0

    # --- tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _is(self, *keys: str) -> bool:
        return self._next.key in keys

    def _took(self, *keys: str) -> bool:
        if self._next.key and self._next.key in keys:
            self._at += 1
            return True
        return False

    def _needs(self, key: str) -> None:
        if not self._took(key):
            raise unreadable(f"Expected {key}, found {shown(self._next)}")

    def _comes(self, ahead: int) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    # --- nodes

    def _node(self, kind: str, name: str, args: tuple[int, ...], *written: str | int) -> int:
        self.nodes.append(Node(kind, name, args, written))
        return len(self.nodes) - 1

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_much(f"The expression is nested more than {MAX_DEPTH} deep", "make several expressions of it")

    @abstractmethod
    def _any(self, binds: int = 0) -> int:
        """Reads an expression whose operators bind more tightly than `binds`; returns the index of its node."""

    def _text(self, value: str) -> int:
        return self._node("text", value, (), quoted_text(value))

    def _listed(self, closing: str) -> tuple[int, ...]:
        values: list[int] = []
        while not self._took(closing):
            if values:
                self._needs(",")
            values.append(self._any())
        return tuple(values)

    # --- types

    def _type(self) -> tuple[str, str]:
        """Reads a type; returns its first word and its SQL."""
        token = self._take()
        key = token.key
        if token.kind != "word" or key not in TYPES:
            hint = nearest(token.value.upper(), TYPES)
            raise unreadable(f"There is no type {shown(token)} to cast to", hint)
        written = key
        if key == "DOUBLE" and self._took("PRECISION"):
            written += " PRECISION"
        if key in VARYING and self._took("VARYING"):
            written += " VARYING"
        if key not in WITHOUT_SIZE and self._took("("):
            written += self._size(key)
        if key in WITH_ZONE and self._is("WITH", "WITHOUT"):
            written += f" {self._take().key} TIME ZONE"
            self._needs("TIME")
            self._needs("ZONE")
        if key in UNSIGNED and self._took("UNSIGNED"):
            written += " UNSIGNED"
        if self._is("[") and self._comes(1).key == "]":
            self._at += 2
            return "[]", written + "[]"
        return key, written

    def _size(self, key: str) -> str:
        numbers = [self._whole_number("The size of a type")]
        if self._took(","):
            numbers.append(self._whole_number("The scale of a type"))
        self._needs(")")
        digits, *scale = numbers
        if key in DECIMALS and not (0 < digits <= MAX_DIGITS and sum(scale) <= digits):
            hint = "write DECIMAL(precision, scale)"
            raise unreadable(f"A decimal has 1 to {MAX_DIGITS} digits, and its scale is not larger", hint)
        if scale and key not in DECIMALS:
            raise unreadable(f"{key} has one size")
        return f"({', '.join(map(str, numbers))})"

    def _whole_number(self, what: str) -> int:
        token = self._take()
        if token.kind != "number" or not token.value.isdigit() or len(token.value) > 9:
            raise unreadable(f"{what} is a whole number, not {shown(token)}")
        return int(token.value)


def commas(args: tuple[int, ...]) -> tuple[str | int, ...]:
    written: list[str | int] = []
    for arg in args:
        written += [", ", arg] if written else [arg]
    return tuple(written)


def shown(token: Token) -> str:
    if token.kind == "end":
        return "the end"
    shown = token.value if len(token.value) <= 40 else f"{token.value[:37]}..."
    return f"'{shown}'"


def subquery() -> Refused:
    return not_row_local("A subquery is not allowed in an expression")
