"""The calls of an expression: functions, and calls with their own syntax, such as CAST and EXTRACT."""

from __future__ import annotations

from headrace.ir.problems import nearest
from headrace.ir.sql.errors import not_row_local, too_much, unknown_function, unreadable
from headrace.ir.sql.expressions.functions import (
    ANY,
    COUNT,
    FUNCTIONS,
    LITERAL,
    MULTI_ROW_FUNCTIONS,
    PART,
    PARTS,
    PATTERN,
)
from headrace.ir.sql.expressions.reader import QUERIES, Reader, commas, shown, subquery
from headrace.ir.sql.expressions.tokens import Token

_FORMS = {"NFC", "NFD", "NFKC", "NFKD"}
_LARGEST = 10**18
_SPECIAL = {"CAST", "TRY_CAST", "SAFE_CAST", "EXTRACT", "POSITION", "TRIM", "NORMALIZE", "SUBSTRING", "SUBSTR"}
BINDS_IN = 20
"""How tightly IN binds."""


class CallReader(Reader):
    """Reads calls."""

    def _called(self, token: Token) -> int:
        key = token.key
        self._take()
        self._deeper()
        made = self._special(key) if key in _SPECIAL and key else self._call(token)
        self._depth -= 1
        if self._is("OVER", "FILTER", "WITHIN", "IGNORE", "RESPECT"):
            what = "a window function" if self._is("OVER") else "an aggregate"
            raise not_row_local(f"'{self._next.key}' makes {what} of {key}, which needs more than one row")
        return made

    def _special(self, key: str) -> int:
        match key:
            case "CAST" | "TRY_CAST" | "SAFE_CAST":
                value = self._any()
                self._needs("AS")
                name, written = self._type()
                self._needs(")")
                return self._node("cast", name, (value,), f"{key}(", value, f" AS {written})")
            case "EXTRACT":
                part = self._part(self._take())
                self._needs("FROM")
                value = self._any()
                self._needs(")")
                return self._node("call", "EXTRACT", (value,), f"EXTRACT({part} FROM ", value, ")")
            case "POSITION":
                sought = self._any(BINDS_IN)
                self._needs("IN")
                value = self._any()
                self._needs(")")
                return self._node("call", "STRPOS", (value, sought), "POSITION(", sought, " IN ", value, ")")
            case "TRIM":
                return self._trim()
            case "NORMALIZE":
                value = self._any()
                form = ""
                if self._took(","):
                    form = self._take().key
                    if form not in _FORMS:
                        raise unreadable("The form of NORMALIZE is not known", "one of: NFC, NFD, NFKC, NFKD")
                self._needs(")")
                closing = f", {form})" if form else ")"
                return self._node("call", "NORMALIZE", (value,), "NORMALIZE(", value, closing)
        return self._substring(key)

    def _part(self, token: Token) -> str:
        name = token.value.upper() if token.kind == "text" else token.key
        if name not in PARTS:
            raise unreadable(f"{shown(token)} is not a part of a date", nearest(name, PARTS))
        return name

    def _trim(self) -> int:
        word = f"{self._take().key} " if self._is("BOTH", "LEADING", "TRAILING") else ""
        value = self._any()
        if self._took("FROM"):
            what, value = value, self._any()
            self._needs(")")
            if self.nodes[what].kind != "text":
                raise unreadable("The characters of TRIM are not a text", "write it as '…'")
            return self._node("call", "TRIM", (value, what), f"TRIM({word}", what, " FROM ", value, ")")
        if word or self._is(","):
            raise unreadable("TRIM has one argument, or FROM", "write TRIM(BOTH 'x' FROM name), or LTRIM(name, 'x')")
        self._needs(")")
        return self._node("call", "TRIM", (value,), "TRIM(", value, ")")

    def _substring(self, key: str) -> int:
        args = [self._any()]
        between = ("FROM", "FOR") if self._is("FROM", "FOR") else (",", ",")
        for mark in between:
            if self._took(mark):
                args.append(self._any())
        self._needs(")")
        return self._finished(key, tuple(args))

    def _call(self, token: Token) -> int:
        key = token.key
        if key in MULTI_ROW_FUNCTIONS:
            raise not_row_local(f"'{token.value}' is {MULTI_ROW_FUNCTIONS[key]}, which needs more than one row")
        if key in QUERIES:
            raise subquery()
        if key not in FUNCTIONS:
            raise unknown_function(token.value, FUNCTIONS)
        if self._next.key in ("DISTINCT", "ALL") or (self._is("*") and self._comes(1).key == ")"):
            raise unreadable(f"{self._next.key} is not allowed in {key}(…)")
        if self._next.key in QUERIES and self._next.key == "SELECT":
            raise subquery()
        return self._finished(key, self._listed(")"))

    def _finished(self, key: str, args: tuple[int, ...]) -> int:
        function = FUNCTIONS[key]
        if len(args) < function.least or (len(args) > len(function.takes) and not function.more):
            raise unreadable(f"{key} takes {_arity(key)}, not {len(args)}")
        for index, arg in enumerate(args):
            self._check_written(key, function.argument(index), arg)
        return self._node("call", key, args, f"{key}(", *commas(args), ")")

    def _check_written(self, key: str, takes: str, arg: int) -> None:
        node = self.nodes[arg]
        if takes in (LITERAL, PATTERN, PART):
            if node.kind != "text":
                raise unreadable(
                    f"{key} takes {takes if takes != PATTERN else 'a pattern, written out'}", "write it as '…'"
                )
            if takes == PART and node.name.upper() not in PARTS:
                raise unreadable(f"'{node.name[:40]}' is not a part of a date", nearest(node.name.upper(), PARTS))
        elif takes == COUNT:
            if (number := self._number(arg)) is None or node.kind == "sign":
                raise unreadable(f"{key} takes {COUNT}", "write it as digits: 10")
            if number > _LARGEST:
                raise too_much(f"{key} takes no numbers beyond {_LARGEST:,}", "use a smaller one")
        elif takes != ANY and (number := self._number(arg)) is not None and abs(number) > _LARGEST:
            raise too_much(f"{key} takes no numbers beyond {_LARGEST:,}", "use a smaller one")

    def _number(self, arg: int) -> int | None:
        """Returns the value of an integer literal, without its sign; None for any other node."""
        node = self.nodes[arg]
        if node.kind == "sign":
            node = self.nodes[node.args[0]]
        return int(node.name) if node.kind == "number" and node.name.isdigit() else None


def _arity(key: str) -> str:
    function = FUNCTIONS[key]
    if function.more:
        return f"at least {function.least} arguments"
    least, most = function.least, len(function.takes)
    return f"{least} argument{'' if least == 1 else 's'}" if least == most else f"{least} to {most} arguments"
