"""The grammar of expressions: operators and operands, and the precedence of operators.

It is the part of polars' SQL that depends on one row only, with the precedence of polars' parser (sqlparser), so this
tree and the one that polars makes from the rewritten text are the same. A test compares them.
"""

from __future__ import annotations

from headrace.ir.sql.errors import Refused, not_row_local, too_much, unreadable
from headrace.ir.sql.expressions.bounds import check
from headrace.ir.sql.expressions.calls import BINDS_IN, CallReader
from headrace.ir.sql.expressions.functions import WITH_ZONE, WITHOUT_PARENTHESES
from headrace.ir.sql.expressions.reader import QUERIES, commas, shown, subquery
from headrace.ir.sql.expressions.tokens import Token, tokens
from headrace.ir.sql.expressions.tree import LIKES, Tree, quoted_name, quoted_text

MAX_OPERATORS = 250
"""Operators of one expression: the time that polars needs for a chain of them grows with its square."""
MAX_BRANCHES = 300
"""Branches of all CASE of one expression: polars nests them."""

_COMPARISONS = ("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>")
_MATCHES = ("~", "~*", "!~", "!~*", "~~", "~~*", "!~~", "!~~*")
_WORDS_OF_MATCHES = ("LIKE", "ILIKE", "RLIKE", "REGEXP")
_BINDS: dict[str, int] = {
    "OR": 5,
    "AND": 10,
    "IS": 17,
    **dict.fromkeys(_WORDS_OF_MATCHES, 19),
    "BETWEEN": 20,
    "IN": BINDS_IN,
    **dict.fromkeys((*_COMPARISONS, *_MATCHES), 20),
    "|": 21,
    "&": 23,
    "^@": 23,
    "XOR": 24,
    **dict.fromkeys("+-", 30),
    **dict.fromkeys(("*", "/", "%", "//", "||"), 40),
    "::": 50,
    "[": 50,
}
_NOT, _SIGN = 15, 40
_UNITS = frozenset(
    """
    NANOSECOND MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK NANOSECONDS MICROSECONDS MILLISECONDS
    SECONDS MINUTES HOURS DAYS WEEKS
    """.split(),  # noqa: SIM905 - a table of words
)
_MOMENTS = {"DATE", "TIME", "TIMESTAMP", "DATETIME", "TIMESTAMPTZ"}


def expression(sql: str) -> Tree:
    """Parses an expression. Raises Refused."""
    reading = _Reading(tokens(sql))
    reading.whole()
    tree = Tree(tuple(reading.nodes))
    check(tree)
    return tree


class _Reading(CallReader):
    """Reads operators and operands."""

    def whole(self) -> None:
        """Reads the expression, to the end of the tokens."""
        self._any()
        if self._next.kind != "end":
            raise _left_over(self._next, self._comes(1))

    def _any(self, binds: int = 0) -> int:
        """Reads an expression whose operators bind more tightly than `binds`; returns the index of its node."""
        left = self._operand()
        while (power := self._power()) > binds:
            self._operators += 1
            if self._operators > MAX_OPERATORS:
                hint = "make several expressions of it"
                raise too_much(f"An expression has at most {MAX_OPERATORS:,} operators", hint)
            left = self._operator(left, power)
        return left

    def _power(self) -> int:
        key = self._next.key
        if key == "NOT":
            key = self._comes(1).key
            return _BINDS[key] if key in (*_WORDS_OF_MATCHES, "BETWEEN", "IN") else 0
        return _BINDS.get(key, 0)

    # --- operators

    def _operator(self, left: int, power: int) -> int:
        negated = self._took("NOT")
        token = self._take()
        key, word = token.key, ("NOT " if negated else "") + token.key
        match key:
            case "::":
                name, written = self._type()
                return self._node("cast", name, (left,), left, "::", written)
            case "[":
                index = self._any()
                self._needs("]")
                return self._node("element", "", (left, index), left, "[", index, "]")
            case "IS":
                return self._is_what(left)
            case "BETWEEN":
                low = self._any(power)
                self._needs("AND")
                high = self._any(power)
                return self._node("between", word, (left, low, high), left, f" {word} ", low, " AND ", high)
            case "IN":
                return self._in(left, word)
        if key in _MATCHES or key in _WORDS_OF_MATCHES:
            return self._match(left, key, word)
        if self._is("ANY", "ALL", "SOME") and self._comes(1).key == "(":
            raise unreadable(
                f"{self._next.key} is not allowed in an expression", "use IN (…), or ARRAY_CONTAINS(list, value)"
            )
        right = self._any(power)
        return self._node("operator", key, (left, right), left, f" {key} ", right)

    def _is_what(self, left: int) -> int:
        word = "IS NOT" if self._took("NOT") else "IS"
        for constant in ("NULL", "TRUE", "FALSE"):
            if self._took(constant):
                return self._node("is", f"{word} {constant}", (left,), left, f" {word} {constant}")
        if self._took("DISTINCT"):
            self._needs("FROM")
            self._deeper()
            right = self._any()
            self._depth -= 1
            return self._node("is", f"{word} DISTINCT FROM", (left, right), left, f" {word} DISTINCT FROM ", right)
        raise unreadable(f"Expected NULL, TRUE, FALSE or DISTINCT FROM after {word}, found {shown(self._next)}")

    def _in(self, left: int, word: str) -> int:
        self._needs("(")
        if self._next.key in QUERIES:
            raise subquery()
        values = self._listed(")")
        if not values:
            raise unreadable("The list of IN is empty", "write the values: IN (1, 2)")
        return self._node("in", word, (left, *values), left, f" {word} (", *commas(values), ")")

    def _match(self, left: int, key: str, word: str) -> int:
        if self._next.kind != "text":
            what = "pattern" if key in LIKES else "regular expression"
            raise unreadable(f"The {what} of {key} is not a text, but {shown(self._next)}", "write it as '…'")
        pattern = self._text(self._take().value)
        if self._is("ESCAPE"):
            raise unreadable("ESCAPE is not allowed in an expression", "use a regular expression: name ~ '^a_b'")
        return self._node("match", key, (left, pattern), left, f" {word} ", pattern)

    # --- operands

    def _operand(self) -> int:
        token = self._take()
        match token.kind:
            case "text":
                return self._text(token.value)
            case "number":
                return self._node("number", token.value, (), token.value)
            case "name":
                return self._column(token.value)
            case "mark":
                return self._marked(token.key)
            case "word":
                return self._worded(token)
        raise unreadable("The expression ends where a value is expected")

    def _marked(self, key: str) -> int:
        if key in ("+", "-"):
            self._operators += 1
            self._deeper()
            operand = self._any(_SIGN)
            self._depth -= 1
            return self._node("sign", key, (operand,), f"{key} ", operand)
        if key == "(":
            self._deeper()
            if self._next.key in QUERIES and not (self._next.key != "SELECT" and self._comes(1).key in (")", *_BINDS)):
                raise subquery()
            inner = self._any()
            if self._is(","):
                raise unreadable("A list in parentheses is not a value", "compare one value with another")
            self._needs(")")
            self._depth -= 1
            return self._node("group", "", (inner,), "(", inner, ")")
        if key == "[":
            return self._list()
        raise unreadable(f"{key} is found where a value is expected")

    def _list(self) -> int:
        self._deeper()
        values = self._listed("]")
        self._depth -= 1
        return self._node("list", "", values, "ARRAY[", *commas(values), "]")

    def _column(self, name: str) -> int:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            raise unreadable(f"'{name[:40]}' does not name one column", "rename the column first")
        if name.startswith("__"):
            hint = "names that begin with two underscores are reserved"
            raise Refused("unknown_column", f"There is no column '{name[:40]}' here", hint)
        parts = [name]
        while self._took("."):
            token = self._take()
            if token.kind not in ("word", "name"):
                raise unreadable(f"{shown(token)} is not the name of a column", "write column.field")
            parts.append(token.value)
        if self._is("("):
            name = ".".join(parts)
            raise unreadable(f"'{name}' does not name a function", f"functions have no quotes: {parts[-1]}(…)")
        return self._node("column", name, (), ".".join(map(quoted_name, parts)))

    def _worded(self, token: Token) -> int:
        key, ahead = token.key, self._next
        match key:
            case "NOT":
                self._operators += 1
                self._deeper()
                operand = self._any(_NOT)
                self._depth -= 1
                return self._node("not", "", (operand,), "NOT ", operand)
            case "NULL" | "TRUE" | "FALSE":
                return self._node("constant", key, (), key)
            case "CASE":
                return self._case()
            case "SELECT":
                raise subquery()
            case "ARRAY" if ahead.key == "[":
                self._take()
                return self._list()
            case "INTERVAL" if ahead.kind in ("text", "number"):
                return self._interval()
            case _ if key in _MOMENTS and (ahead.kind == "text" or ahead.key in ("WITH", "WITHOUT")):
                return self._moment(key)
        if ahead.key == "(":
            return self._called(token)
        if key in WITHOUT_PARENTHESES:
            return self._node("call", key, (), key)
        return self._column(token.value)

    def _case(self) -> int:
        self._deeper()
        written: list[str | int] = ["CASE "]
        args: list[int] = []

        def part(word: str) -> None:
            found = self._any()
            args.append(found)
            written.extend((word, found, " "))

        name = "searched" if self._is("WHEN") else "simple"
        if name == "simple":
            part("")
        while self._took("WHEN"):
            self._branches += 1
            part("WHEN ")
            self._needs("THEN")
            part("THEN ")
        if self._branches > MAX_BRANCHES:
            hint = "look the values up in a table (lookup_join) or map them (map_values)"
            raise too_much(f"The CASE of an expression have at most {MAX_BRANCHES:,} WHEN together", hint)
        if len(args) < 2:
            raise unreadable(f"Expected WHEN, found {shown(self._next)}")
        if self._took("ELSE"):
            part("ELSE ")
        self._needs("END")
        self._depth -= 1
        return self._node("case", name, tuple(args), *written, "END")

    def _interval(self) -> int:
        value = self._take()
        unit = self._next.key if self._next.key in _UNITS else ""
        if "-" in value.value:
            raise unreadable("An interval is not negative", "subtract it: day - INTERVAL '1 day'")
        if unit:
            self._take()
        written = quoted_text(value.value) if value.kind == "text" else value.value
        return self._node("interval", "", (), f"INTERVAL {written}{' ' if unit else ''}{unit}")

    def _moment(self, key: str) -> int:
        zone = ""
        if self._is("WITH", "WITHOUT") and key in WITH_ZONE:
            zone = f" {self._take().key} TIME ZONE"
            self._needs("TIME")
            self._needs("ZONE")
        if self._next.kind != "text":
            raise unreadable(f"Expected a text after {key}{zone}, found {shown(self._next)}")
        return self._node("moment", key, (), f"{key}{zone} {quoted_text(self._take().value)}")


def _left_over(token: Token, following: Token) -> Refused:
    if token.key == "AS":
        return unreadable("AS is not allowed in an expression", "the op names the column")
    if token.key in ("OVER", "FILTER", "WITHIN"):
        return not_row_local(f"'{token.key}' needs more than one row")
    if token.key in ("ISNULL", "NOTNULL") or (token.key == "NOT" and following.key == "NULL"):
        return unreadable(f"{shown(token)} is not allowed in an expression", "write IS NULL or IS NOT NULL")
    if token.key in ("SELECT", "UNION", "FROM"):
        return subquery()
    return unreadable(f"{shown(token)} is not expected here")
