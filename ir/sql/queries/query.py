"""The query of the op `sql`: one SELECT over the table `input` and what its WITH defines, in DuckDB's dialect.

sqlglot parses it, every node of the tree is checked against a list (`query_nodes`), and the SQL that runs is written
from the tree: every name in quotes, every text escaped, functions from a list. Anything that is not on a list is
refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, cast

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token

from headrace.ir.problems import nearest
from headrace.ir.sql.errors import Refused
from headrace.ir.sql.queries.as_written import as_written
from headrace.ir.sql.queries.bounds import check_bounds
from headrace.ir.sql.queries.cells import QueryCells, cells_of
from headrace.ir.sql.queries.comparisons import Equality, equalities
from headrace.ir.sql.queries.functions import ALTERNATIVES, FUNCTIONS, ORDER_SENSITIVE, TYPES
from headrace.ir.sql.queries.nodes import NODES, WORDS

INPUT = "input"
ONE_SELECT = "one SELECT over the table 'input'"


class _Dialect(DuckDB):
    """DuckDB's dialect, but functions are parsed as a name and arguments only."""

    class Parser(DuckDB.Parser):  # type: ignore[valid-type, misc]
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS = {
            key: value for key, value in DuckDB.Parser.NO_PAREN_FUNCTION_PARSERS.items() if key == "CASE"
        }
        FUNCTION_PARSERS = {
            key: value
            for key, value in DuckDB.Parser.FUNCTION_PARSERS.items()
            if key in ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING", "POSITION")
        }


_COLOURS = re.compile("\x1b.[0-9;]*m")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 38

# parser errors are raised as Refused below; sqlglot would log them too
logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Query:
    """A checked query. `columns` are the columns of `input` that it names, in lower case, as names are not
    case-sensitive; None: all of them. `order_sensitive`: the result may depend on the order in which rows are read."""

    _tree: exp.Query
    columns: frozenset[str] | None
    order_sensitive: bool

    def cells(self, names: Collection[str], columns: Sequence[str] | None = None) -> QueryCells:
        """How it uses the columns `names`, which hold cells of text files. `columns` are all columns of the input in
        order, None if they are not known."""
        return cells_of(self._tree, names, columns)

    def equalities(self, columns: Sequence[str]) -> Iterator[Equality]:
        """The comparisons by = or IN of columns and numbers. `columns` are those of the input."""
        return equalities(self._tree, columns)

    def as_written(
        self, cells: Collection[str], valued: Collection[str], columns: Sequence[str], names: Sequence[str]
    ) -> tuple[Query, frozenset[str]]:
        """The query that returns the columns `cells` as they are written, and the columns that it takes as structures
        of value and text, in lower case (see `as_written`). Raises Refused."""
        try:
            made = as_written(self._tree, cells, valued, columns, names)
        except RecursionError:
            raise _refused("It is nested too deeply", "make several ops of it") from None
        return Query(made.tree, self.columns, _order_sensitive(made.tree)), made.paired

    @property
    def ordered(self) -> bool:
        """Whether the query has an ORDER BY."""
        return self._tree.args.get("order") is not None

    @cached_property
    def sql(self) -> str:
        """The SQL written from the tree."""
        return _written(self._tree)

    def ordered_by(self, columns: int) -> str:
        """Returns the SQL with a total order of rows: the ORDER BY of the query, then all of its columns."""
        if not self.ordered:
            places = ", ".join(str(place + 1) for place in range(columns))
            return f"SELECT * FROM ({self.sql}) AS rows_of ORDER BY {places}"  # noqa: S608 - written from the tree
        tree = self._tree.copy()
        if any(isinstance(each.this, exp.Var) for each in tree.args["order"].expressions):
            return self.sql  # ORDER BY ALL
        for place in range(columns):
            tree.args["order"].append("expressions", exp.Ordered(this=exp.Literal.number(place + 1), nulls_first=False))
        return _written(tree)


def query(text: str) -> Query:
    """Parses and checks a query. Raises Refused."""
    tree = _parsed(text)
    try:
        _check_tree(tree)
        tables = check_tables(tree)
        check_bounds(tree, tables)
    except RecursionError:
        raise _refused("It is nested too deeply", "make several ops of it") from None
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("quoted", True)
    _bracket_negations(tree)
    _check_written(_written(tree))
    return Query(tree, _columns(tree), _order_sensitive(tree))


def _order_sensitive(tree: exp.Query) -> bool:
    return any(
        isinstance(node, exp.Limit | exp.Offset | exp.Window)
        or (isinstance(node, exp.Distinct) and bool(node.args.get("on")))
        or (isinstance(node, exp.Anonymous) and node.name.lower() in ORDER_SENSITIVE)
        for node in tree.walk()
    )


def _check_written(written: str) -> None:
    """Refuses text that sqlglot read too leniently (`SELECT *, SELECT a`): parsed again, its SQL differs."""
    again = _parsed(written)
    _check_tree(again)
    check_tables(again)
    if _written(again) != written:
        raise _refused("It is not one SELECT")


def _refused(message: str, hint: str = ONE_SELECT) -> Refused:
    return Refused("query_refused", message, hint)


def _parsed(text: str) -> exp.Query:
    if "\x00" in text:
        raise _refused("It contains a NUL character", "remove it")
    try:
        _check_tokens(text)
        trees = sqlglot.parse(text, read=_Dialect)
    except RecursionError:
        raise _refused("It is nested too deeply", "make several ops of it") from None
    except (SqlglotError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise Refused("query_refused", f"It cannot be read: {_COLOURS.sub('', first)}") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query) or isinstance(trees[0], exp.Subquery | exp.Table):
        raise _refused("It is not one SELECT")
    return trees[0]


def _check_tokens(text: str) -> None:
    """Refuses comments, and numbers with letters directly after them: DuckDB reads 0x1f as a number, sqlglot as a
    number with an alias."""
    tokens = sqlglot.tokenize(text, read=_Dialect)
    if any(token.comments for token in tokens):
        raise _refused("Comments are not allowed in a query", "take them out")
    for token, following in pairwise(tokens):
        if (
            token.token_type == TokenType.NUMBER
            and following.start == token.end + 1
            and text[following.start].isalnum()
        ):
            raise _refused(f"'{text[token.start : following.end + 1][:40]}' is not a number", "write it in digits")
    for before, token, following in zip(tokens, tokens[1:], tokens[2:], strict=False):
        # DATE '2024-01-01'::VARCHAR: sqlglot casts the text, DuckDB the date
        if token.token_type == TokenType.STRING and following.token_type == TokenType.DCOLON and _is_type(before):
            written = text[before.start : following.end + 1]
            raise _refused(f"'{written[:40]}' is read in two ways", "write CAST(DATE '2024-01-01' AS VARCHAR)")


def _is_type(token: Token) -> bool:
    """Whether the token may be the type of a literal after it."""
    kind = token.token_type
    typed = kind in Parser.TYPE_TOKENS or kind in (TokenType.VAR, TokenType.IDENTIFIER, TokenType.R_PAREN)
    return typed and kind != TokenType.INTERVAL


def _check_tree(tree: exp.Expr) -> None:
    for node in tree.walk():
        allowed = NODES.get(type(node))
        if allowed is None:
            raise _unlisted(node)
        for name, value in node.args.items():
            if value is None or value is False or value == []:
                continue
            if name not in allowed:
                raise _refused(f"{name.strip('_').upper()} of {node.key.upper()} is not allowed in a query")
            for each in value if isinstance(value, list) else [value]:
                _check_value(node, name, each)


def _check_value(node: exp.Expr, name: str, value: Any) -> None:
    if isinstance(value, exp.Expr):
        if name == "this" and isinstance(node, exp.Anonymous):
            raise _refused(f"{_shown(value)}(…) is not allowed in a query", "functions have no quotes")
        return
    if value is True:
        return
    if isinstance(node, exp.Identifier):
        _check_name(str(value))
    elif isinstance(node, exp.Literal):
        _check_literal(node)
    elif isinstance(node, exp.Anonymous):
        _check_function(str(value))
    elif isinstance(node, exp.DataType):
        _check_type(node)
    elif str(value).upper() not in WORDS.get((type(node), name), frozenset()):
        raise _refused(f"'{str(value)[:40]}' is not allowed in a query")


def _check_name(name: str) -> None:
    if name.startswith("__"):
        raise Refused("invalid_column", f"'{name[:60]}' cannot name a column", "give it another alias")


def _check_literal(node: exp.Literal) -> None:
    if not node.is_string and not _NUMBER.fullmatch(node.name):
        raise _refused(f"'{node.name[:40]}' is not a number", "write it in digits")
    if not node.is_string and "e" not in node.name.lower() and sum(map(str.isdigit, node.name)) > _MAX_DIGITS:
        raise _refused(f"A number has at most {_MAX_DIGITS} digits", "write it with an exponent: 1.5e40")


def _check_function(name: str) -> None:
    if name.lower() not in FUNCTIONS or not name.isascii():
        hint = ALTERNATIVES.get(name.lower()) or nearest(name.lower(), sorted(FUNCTIONS))
        raise _refused(f"There is no function '{name.lower()[:60]}' in a query", hint)


def _check_type(node: exp.DataType) -> None:
    kind = node.this
    name = kind.name if isinstance(kind, exp.DType) else str(kind)
    if name in ("ARRAY", "LIST") and node.expressions:
        return
    if name not in TYPES:
        raise _refused(f"There is no type {_shown(node)} to cast to in a query", nearest(name, sorted(TYPES)))


def _unlisted(node: exp.Expr) -> Refused:
    if isinstance(node, exp.RegexpLike | exp.SimilarTo):
        hint = "write regexp_matches(text, pattern), or regexp_full_match for the whole text"
        return _refused("~ and SIMILAR TO are not allowed in a query", hint)
    if isinstance(node, exp.JSONExtract | exp.JSONExtractScalar):
        return _refused("-> and ->> are not allowed in a query", "write json_extract_string(text, '$.name')")
    if isinstance(node, exp.Dot):
        return _refused(
            f"'{_shown(node)}' is not allowed in a query",
            "write functions without a prefix, and columns as table.column",
        )
    return _refused(f"{node.key.upper()} is not allowed in a query")


def check_tables(tree: exp.Expr) -> dict[int, exp.CTE | None]:
    """Returns what each table of the query refers to, by the id of its node: a CTE, or the input (None). Raises Refused
    for any other table."""
    if any(each.args.get("recursive") for each in tree.find_all(exp.With)):
        raise _refused("WITH RECURSIVE is not allowed in a query", "rows come from the input alone")
    found: dict[int, exp.CTE | None] = {}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise _refused(f"'{_shown(table)}' would read something other than 'input'")
        defined = next((cte for cte in _visible(table) if cte.alias.lower() == table.name.lower()), None)
        if defined is None and table.name.lower() != INPUT:
            raise _refused(f"'{table.name[:60]}' is not 'input', the only table")
        found[id(table)] = defined
    return found


def _visible(table: exp.Table) -> Iterator[exp.CTE]:
    """Yields the CTEs that are visible at a table, the nearest first."""
    inside: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            place = next(index for index, cte in enumerate(above.expressions) if cte is inside)
            yield from reversed(above.expressions[:place])
            # skip the query of this WITH: a CTE sees only the ones before it
            inside, above = cast(exp.Expr, above.parent), cast(exp.Expr, above.parent).parent
            continue
        if (given := above.args.get("with_")) is not None:
            yield from reversed(given.expressions)
        inside, above = above, above.parent


def _columns(tree: exp.Expr) -> frozenset[str] | None:
    stars = (star for star in tree.find_all(exp.Star) if not isinstance(star.parent, exp.Anonymous))
    if any(True for _ in stars) or any(join.method.upper() == "NATURAL" for join in tree.find_all(exp.Join)):
        return None
    if any(union.args.get("by_name") for union in tree.find_all(exp.SetOperation)):
        return None
    return frozenset(identifier.name.lower() for identifier in tree.find_all(exp.Identifier))


def _bracket_negations(tree: exp.Expr) -> None:
    """Puts negations in parentheses: sqlglot writes `i NOT IN (1) = j` as `NOT i IN (1) = j`, where NOT applies
    last."""
    for node in [*tree.find_all(exp.Not)]:
        above = node.parent
        if isinstance(above, exp.Binary | exp.Predicate | exp.Unary) and not isinstance(above, _LOOSER):
            node.replace(exp.Paren(this=node.copy()))


_LOOSER = (exp.Connector, exp.Paren, exp.Not)
"""Nodes that apply after a NOT, or that have parentheses."""


def _written(tree: exp.Expr) -> str:
    return tree.sql(dialect=_Dialect, comments=False)


def _shown(node: exp.Expr) -> str:
    try:
        text = node.sql(dialect=_Dialect, comments=False)
    except (SqlglotError, ValueError, AttributeError, TypeError):
        text = node.key.upper()
    return text if len(text) <= 60 else f"{text[:57]}..."
