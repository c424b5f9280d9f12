"""The scope of an op, rule or node while it is compiled: the columns it sees, and faults at its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from headrace._picklable import PicklableError
from headrace.connectors.source import reserved
from headrace.flows.compile.expression_types import Columns, learn, types_of
from headrace.flows.compile.reference_tables import ReferenceTable
from headrace.ir.parsing.limits import MAX_COLUMN_WORK, NODE
from headrace.ir.problems import Problem, nearest, nearest_column
from headrace.ir.secrets import secret_name
from headrace.ir.sql import Refused, Tree
from headrace.ir.sql import expression as read_expression
from headrace.ir.sql.expressions.as_written import as_written
from headrace.ir.sql.expressions.functions import TEXT, TIME, TIME_OF_DAY
from headrace.ir.sql.expressions.value_texts import TIME_WITH_ZONE, value_texts


class PlanError(PicklableError):
    """One fault found while compiling."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class TooWide(PlanError):
    """All nodes and ops together have more columns than MAX_COLUMN_WORK allows."""


class Undecided(Exception):
    """Something the document names is only known when a run is planned: this place cannot be checked yet."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns, with types, that are visible at `path` inside the node `node`. `tables` are the lookup tables by
    qualified name (None: not known); `secrets` are the credentials of the pipeline's connector (None outside runs)."""

    node: str
    path: str
    schema: Columns = field(default_factory=pl.Schema)
    tables: Mapping[str, ReferenceTable] | None = None
    secrets: Mapping[str, Any] | None = field(default=None, repr=False)
    cells: Mapping[str, str] = field(default_factory=dict)
    """The columns that hold cells of text files → the column that has their text here."""

    def is_text(self, name: str) -> bool:
        """Whether a column is text, or null."""
        return self.schema.get(name) in (pl.String, pl.Null)

    def fault(self, where: str, code: str, message: str, hint: str = "") -> PlanError:
        """An error at `path` + `where` (a field of this op or rule), to be raised."""
        return PlanError(Problem(f"{self.path}.{where}" if where else self.path, code, message, hint))

    def column(self, name: str, where: str) -> pl.DataType:
        """The type of a column. Raises PlanError with the nearest name when there is none."""
        if name not in self.schema:
            message, hint = f"There is no column '{name}' here", nearest_column(name, self.visible)
            raise self.fault(where, "unknown_column", message, hint)
        return self.schema[name]

    def new_column(self, name: str, where: str) -> None:
        """Raises PlanError when the column exists already."""
        if name in self.schema:
            raise self.fault(where, "column_exists", f"There is already a column '{name}'", "choose another name")

    def table(self, name: str, where: str) -> ReferenceTable:
        """The registered table. Raises PlanError with the nearest name, and Undecided when tables are not known."""
        if self.tables is None:
            raise Undecided
        if name not in self.tables:
            message = f"'{name}' is not a table of one of your schemas"
            raise self.fault(where, "unknown_table", message, nearest(name, self.tables))
        return self.tables[name]

    def secret(self, reference: str, where: str) -> str:
        """The secret that a document names. Raises PlanError when there is none. Where secrets are not known it is a
        placeholder, because nothing is computed then."""
        name = secret_name(reference)
        if self.secrets is None:
            return "unknown"
        if not str(self.secrets.get(name) or ""):
            message = f"The pipeline's connector has no credential '{name}'"
            raise self.fault(
                where, "unknown_secret", message, f'put it into the connector: "authConfig": {{"{name}": …}}'
            )
        return str(self.secrets[name])

    def text(self, name: str, where: str) -> pl.Expr:
        """The values of a text column. Raises PlanError when there is none."""
        have = self.column(name, where)
        if have not in (pl.String, pl.Null):
            raise self.fault(where, "wrong_type", f"'{name}' is {have}, not text", "cast it to text before")
        return pl.col(name).cast(pl.String)

    def output(self, name: str, where: str, *, replaces: str) -> None:
        """Raises PlanError when the column exists already and is not `replaces`, which the op reads."""
        if name != replaces:
            self.new_column(name, where)

    def within(self, counted: Counter[str], times: int) -> None:
        """Adds the number of columns here, times `times`, to `counted`. Raises TooWide when the sum is too large."""
        counted["columns"] += len(self.schema) * times
        if counted["columns"] > MAX_COLUMN_WORK:
            message = (
                "The nodes and ops of a pipeline have too many columns before them together: a sum over all nodes of "
                f"{MAX_COLUMN_WORK // NODE:,} at most, much less where rows are gathered"
            )
            hint = "drop columns that nothing needs, or make several pipelines of it"
            raise TooWide(Problem(self.path, "too_wide", message, hint))

    @property
    def visible(self) -> list[str]:
        """The column names that a document may use."""
        return [name for name in self.schema if not reserved(name)]

    def expression(self, sql: str, where: str, *, passes: bool = False) -> tuple[pl.Expr, pl.DataType]:
        """A scalar SQL expression over the columns, and its type. With `passes`, a result that is a cell is text, as it
        is written. Raises PlanError for one that cannot be parsed, does not type-check or reads more than its own row.
        Nothing is computed."""
        try:
            written = parsed_expression(sql)
            if not self.cells.keys().isdisjoint(written.columns):
                rewritten = as_written(written.tree, self.cells, self.is_text, self.cells.__getitem__, passes=passes)
                written = _of_tree(rewritten.tree)
            if (texts := value_texts(written.tree, self._is_temporal, self._type_of)) is not written.tree:
                written = _of_tree(texts)
            expression = pl.sql_expr(written.sql)
            typing = expression if written.typing == written.sql else pl.sql_expr(written.typing)
        except Refused as refused:
            raise self.fault(where, refused.code, f"'{_shown(sql)}': {refused.message}", refused.hint) from None
        except (PolarsError, pl.exceptions.PanicException) as error:
            text = f"'{_shown(sql)}' is not an expression: {first_line(error)}"
            raise self.fault(where, "invalid_expression", text) from None
        with self.checked(where):
            return expression, self.evaluate(typing)

    def _is_temporal(self, name: str) -> bool:
        return isinstance(self.schema.get(name), pl.Time | pl.Datetime)

    def _type_of(self, tree: Tree) -> str | None:
        """The type of an expression as in `value_texts`; None also for one that does not type-check."""
        try:
            have = self.evaluate(pl.sql_expr(tree.typing))
        except (PolarsError, pl.exceptions.PanicException):
            return None
        if isinstance(have, pl.Datetime):
            return TIME if have.time_zone is None else TIME_WITH_ZONE
        return TEXT if have == pl.String else TIME_OF_DAY if have == pl.Time else None

    def condition(self, sql: str, where: str) -> pl.Expr:
        """A SQL condition over the columns. Raises PlanError for what is not Boolean."""
        expression, have = self.expression(sql, where)
        if have != pl.Boolean:
            message = f"'{_shown(sql)}' gives {have}, not true or false"
            raise self.fault(where, "not_boolean", message, "write a comparison")
        return expression

    def learn(self, texts: Iterable[str]) -> None:
        """Finds the types of many SQL expressions at once, before each is compiled; faults are ignored here."""
        found: list[pl.Expr] = []
        for sql in texts:
            with suppress(Refused, PolarsError, pl.exceptions.PanicException):
                found.append(pl.sql_expr(parsed_expression(sql).typing))
        learn(found, self.schema)

    def evaluate(self, expression: pl.Expr) -> pl.DataType:
        """The type of an expression here. Raises a polars error when it does not type-check."""
        return types_of([expression.alias("value")], self.schema)["value"]

    @contextmanager
    def checked(self, where: str) -> Iterator[None]:
        """Turns polars errors inside the block into a PlanError at `where`."""
        try:
            yield
        except (PolarsError, pl.exceptions.PanicException) as error:
            message = first_line(error)
            if match := re.search(r'unable to find column "([^"]*)"', message):
                missing = match.group(1)
                text = f"There is no column '{missing}' here"
                raise self.fault(where, "unknown_column", text, nearest_column(missing, self.visible)) from None
            raise self.fault(where, "invalid_expression", message) from None


_COMMON = 500
"""Longest expression, in characters, that is cached; longer ones are shortened in messages."""


class ParsedExpression(NamedTuple):
    """An expression: its tree, the SQL written from it, the SQL to find its type with, and the columns it names."""

    tree: Tree
    sql: str
    typing: str
    columns: tuple[str, ...]


def parsed_expression(sql: str) -> ParsedExpression:
    """The parsed expression. Raises Refused."""
    return _kept(sql) if len(sql) <= _COMMON else _written(sql)


def _written(sql: str) -> ParsedExpression:
    return _of_tree(read_expression(sql))


def _of_tree(tree: Tree) -> ParsedExpression:
    return ParsedExpression(tree, tree.sql, tree.typing, tree.columns)


_kept = lru_cache(8_192)(_written)


def _shown(sql: str) -> str:
    return sql if len(sql) <= _COMMON else f"{sql[:_COMMON]}…"


def first_line(error: BaseException) -> str:
    """The first line of an error's text: polars adds hints for programmers below it. Of a regular expression the last
    part, which follows a drawing of the pattern."""
    text = str(error).strip()
    verdict = text.partition("\nerror: ")[2].partition("\n")[0] if "regex parse error" in text else ""
    return f"not a regular expression: {verdict}" if verdict else text.partition("\n")[0]
