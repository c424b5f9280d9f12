"""SELECT and CREATE INDEX: parsed, every node checked against a list, and written again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import SqlglotError

from headrace.ir.problems import fault
from headrace.ir.statements.allowed import BEFORE_PAREN, FUNCTIONS, TYPES, check_bounds
from headrace.ir.statements.base import ALLOWED, LOADED_TABLE, AdminStatement, folded, table_reference

_DIALECT = "postgres"
_MARK = "headrace_loaded_table"
"""Replaces LOADED_TABLE while the statement is parsed."""

_QUERY: tuple[type[exp.Expr], ...] = (
    exp.Select, exp.SetOperation, exp.With, exp.CTE, exp.Subquery, exp.From, exp.Join, exp.Where, exp.Group, exp.Having,
    exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Distinct, exp.Star, exp.Window, exp.WindowSpec, exp.Filter,
    exp.Alias, exp.TableAlias, exp.Table, exp.Exists,
)  # fmt: skip
_EXPRESSION: tuple[type[exp.Expr], ...] = (
    exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Tuple, exp.Interval, exp.Var,
    exp.DataType, exp.DataTypeParam, exp.Func, exp.Binary, exp.Unary, exp.Between, exp.In, exp.If, exp.IntervalSpan,
    exp.WithinGroup, exp.Escape, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript,
)  # fmt: skip
_INDEX: tuple[type[exp.Expr], ...] = (exp.Create, exp.Index, exp.IndexParameters, exp.Where, exp.Ordered, exp.Table)
_NEVER = (exp.Command, exp.Operator, exp.Dot, exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Parameter, exp.Placeholder)
_METHODS = {"btree", "hash", "gin", "gist", "brin", "spgist"}

# parser errors are raised as faults below; sqlglot would log them too
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def query(text: str) -> AdminStatement:
    """`SELECT …` or `WITH … SELECT …` on own tables, without functions that have side effects."""
    tree = _parsed(text)
    if not isinstance(tree, exp.Query):
        raise fault("forbidden_statement", f"A hook cannot run {tree.key.upper()}", ALLOWED)
    _only(tree, (*_QUERY, *_EXPRESSION))
    check_bounds(tree)
    return _statement("select", tree, alone=False)


def index_statement(text: str) -> AdminStatement:
    """`CREATE [UNIQUE] INDEX [CONCURRENTLY] [IF NOT EXISTS] name ON table (…)`."""
    tree = _parsed(text)
    if not isinstance(tree, exp.Create) or tree.kind != "INDEX":
        what = f"CREATE {tree.kind}" if isinstance(tree, exp.Create) else tree.key.upper()
        raise fault("forbidden_statement", f"A hook cannot run {what}", ALLOWED)
    known = {"this", "kind", "unique", "concurrently", "exists"}
    _only(tree, (*_INDEX, *_EXPRESSION))
    check_bounds(tree)
    index, parameters = tree.this, tree.this.args.get("params")
    if not isinstance(index, exp.Index) or not isinstance(parameters, exp.IndexParameters) or not index.name:
        raise fault(
            "unreadable_statement", "The index has no name or no columns", "CREATE INDEX name ON table (column)"
        )
    plain = {"using", "columns", "include", "where"}
    unknown = [*_given(tree, known), *_given(parameters, plain), *_given(index, {"this", "table", "params"})]
    method = parameters.args.get("using")
    if unknown or (method is not None and method.name.lower() not in _METHODS):
        raise fault("forbidden_statement", "A hook's CREATE INDEX has only columns, USING, INCLUDE and WHERE", ALLOWED)
    return _statement("index", tree, alone=bool(tree.args.get("concurrently")))


def _parsed(text: str) -> exp.Expr:
    if _MARK in text.lower():
        raise fault("unreadable_statement", f"The name {_MARK} is reserved", f"write {LOADED_TABLE}")
    text = text.replace(LOADED_TABLE, _MARK)
    try:
        trees = sqlglot.parse(text, read=_DIALECT)
    except (SqlglotError, RecursionError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise fault("unreadable_statement", f"The statement cannot be read: {reason}", ALLOWED) from None
    if len(trees) != 1 or trees[0] is None:
        raise fault("several_statements", "A hook runs one statement", "write one hook for each")
    return trees[0]


def _only(tree: exp.Expr, allowed: tuple[type[exp.Expr], ...]) -> None:
    for node in tree.walk():
        if isinstance(node, exp.Table):
            _check_table(node)
        if node is tree and isinstance(node, allowed):
            continue
        if isinstance(node, _NEVER) or not isinstance(node, allowed):
            raise fault("forbidden_statement", f"A hook's SQL cannot have {_shown(node)}", ALLOWED)
        if isinstance(node, exp.DataType) and _word_of(node) not in TYPES:
            raise fault("forbidden_statement", f"A hook's SQL cannot use the type {_shown(node)}", ALLOWED)


def _check_table(table: exp.Table) -> None:
    function = isinstance(table.this, exp.Func)
    if not (function or isinstance(table.this, exp.Identifier)) or _given(
        table, {"this", "db", "alias", "joins", "only"}
    ):
        raise fault("forbidden_table", f"{_shown(table)} is not a table of yours", "write public.ds_orders")


def _given(node: exp.Expr, known: set[str]) -> list[str]:
    return [name for name, value in node.args.items() if value not in (None, False, []) and name not in known]


def _statement(kind: Any, tree: exp.Expr, *, alone: bool) -> AdminStatement:
    tree = tree.copy()
    for identifier in tree.find_all(exp.Identifier):
        if not identifier.quoted:
            identifier.set("this", folded(identifier.name))
        identifier.set("quoted", True)
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    tables = frozenset(_own_tables(tree, named))
    render = _renderer(tree)
    loaded = "public.loaded"
    listed = {"include", *_METHODS, *(table.replace(LOADED_TABLE, loaded).split(".")[1] for table in tables)}
    _check_calls(render(loaded), listed if kind == "index" else set())
    return AdminStatement(kind, tables, render, alone=alone)


def _own_tables(tree: exp.Expr, named: set[str]) -> Iterator[str]:
    """Writes the schema before every table that is not a WITH's, so that an empty search path finds them."""
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            continue
        if not table.db and table.name in named:
            table_reference(None, table.name)  # a CTE with the name of a system table is refused too
            continue
        if table.name == _MARK:
            if table.db:
                raise fault("forbidden_table", f"{LOADED_TABLE} means schema and table", f"write {LOADED_TABLE} alone")
            yield LOADED_TABLE
            continue
        reference = table_reference(table.db or None, table.name)
        table.set("db", exp.to_identifier(reference.split(".")[0], quoted=True))
        yield reference


def _renderer(tree: exp.Expr) -> Callable[[str], str]:
    def render(loaded: str) -> str:
        schema, name = loaded.split(".")
        written = tree.copy()
        for identifier in written.find_all(exp.Identifier):
            if identifier.name == _MARK:
                if isinstance(identifier.parent, exp.Table):
                    identifier.parent.set("db", exp.to_identifier(schema, quoted=True))
                identifier.set("this", name)
        return written.sql(dialect=_DIALECT, comments=False)

    return render


def _check_calls(sql: str, listed: set[str]) -> None:
    """Checks the SQL to be sent token by token: every word before a parenthesis must be on a list of harmless ones.
    `listed` are names before a list of columns."""
    tokens = sqlglot.tokenize(sql, read=_DIALECT)
    for before, token in pairwise(tokens):
        if token.token_type == TokenType.SEMICOLON:
            raise fault("several_statements", "A hook runs one statement", "write one hook for each")
        name = _word(before) if token.token_type == TokenType.L_PAREN else None
        if name is not None and name not in FUNCTIONS | TYPES | BEFORE_PAREN | listed:
            hint = "a custom_function can do more; a table's alias cannot name its columns"
            raise fault("forbidden_function", f"A hook's SQL cannot call {name}()", hint)


def _word(token: Any) -> str | None:
    text: str = token.text
    if token.token_type == TokenType.IDENTIFIER:
        return text
    if token.token_type in (TokenType.STRING, TokenType.NUMBER):
        return None
    return text.lower() if text[:1].isalpha() or text[:1] == "_" else None


def _word_of(kind: exp.DataType) -> str:
    """Returns the first word of a type: `regclass` and similar types would reveal other objects of the database."""
    return re.split(r"\W", kind.sql(dialect=_DIALECT).lower(), maxsplit=1)[0]


def _shown(node: exp.Expr) -> str:
    try:
        text = node.sql(dialect=_DIALECT, comments=False)
    except (SqlglotError, ValueError, AttributeError, TypeError):
        text = node.key.upper()
    return text if len(text) <= 60 else f"{text[:57]}..."
