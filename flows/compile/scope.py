"""What is known at one place of the document while it is compiled: the columns, and how a fault there is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from flows.compile.broadcast import ReferenceTable
from flows.compile.row_local import refusal
from flows.compile.types import Columns, learn, types_of
from ir.limits import MAX_COLUMN_WORK, NODE
from ir.problems import Problem, nearest
from ir.secrets import secret_name


class PlanError(Exception):
    """One fault found while compiling."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class TooWide(PlanError):
    """The columns of all steps together are beyond what is looked at."""


class Undecided(Exception):
    """What the document names is only known when a run is planned: this place cannot be judged yet."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns with their types that `path`, inside the node `node`, sees, and the tables it may look rows up in
    (None where they are not known). `secrets`: the credentials of the pipeline's connector, known to runs only."""

    node: str
    path: str
    schema: Columns = field(default_factory=pl.Schema)
    tables: Mapping[str, ReferenceTable] | None = None
    secrets: Mapping[str, Any] | None = None

    def fault(self, where: str, code: str, message: str, hint: str = "") -> PlanError:
        """An error at `path` + `where` (a field of this op or rule)."""
        return PlanError(Problem(f"{self.path}.{where}" if where else self.path, code, message, hint))

    def column(self, name: str, where: str) -> pl.DataType:
        """The type of an existing column; otherwise raises with the nearest name."""
        if name not in self.schema:
            raise self.fault(where, "unknown_column", f"There is no column '{name}' here", nearest(name, self.visible))
        return self.schema[name]

    def new_column(self, name: str, where: str) -> None:
        """Raises when the column exists already."""
        if name in self.schema:
            raise self.fault(where, "column_exists", f"There is already a column '{name}'", "choose another name")

    def table(self, name: str, where: str) -> ReferenceTable:
        """The registered table; raises with the nearest name, and Undecided when the tables are not known here."""
        if self.tables is None:
            raise Undecided
        if name not in self.tables:
            message = f"'{name}' is not a table of one of your schemas"
            raise self.fault(where, "unknown_table", message, nearest(name, self.tables))
        return self.tables[name]

    def secret(self, reference: str, where: str) -> str:
        """The secret a document names; raises when it is not there. Where secrets are not known, any text stands for
        it: nothing is computed with it then."""
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
        """The values of an existing column of text; raises when it is not one."""
        have = self.column(name, where)
        if have not in (pl.String, pl.Null):
            raise self.fault(where, "wrong_type", f"'{name}' is {have}, not text", "cast it to text before")
        return pl.col(name).cast(pl.String)

    def output(self, name: str, where: str, *, replaces: str) -> None:
        """Raises when the column exists already and is not the one that the op reads."""
        if name != replaces:
            self.new_column(name, where)

    def within(self, counted: Counter[str], times: int) -> None:
        """Counts the columns here, so many `times`; raises TooWide when those of all places are too many together."""
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
        """The names a document may use."""
        return [name for name in self.schema if not name.startswith("__")]

    def expression(self, sql: str, where: str) -> pl.Expr:
        """A scalar SQL expression over the columns; raises for what does not parse, type-check or stay within a row."""
        if reason := _refusal(sql):
            raise self.fault(where, "not_row_local", reason, "use only this row's columns and scalar functions")
        try:
            expression = pl.sql_expr(sql)
        except PolarsError as error:
            raise self.fault(
                where, "invalid_expression", f"'{sql}' is not an expression: {first_line(error)}"
            ) from None
        with self.checked(where):
            self.evaluate(expression)
        return expression

    def condition(self, sql: str, where: str) -> pl.Expr:
        """A SQL condition over the columns, false where it is null; raises also when it is not true or false."""
        expression = self.expression(sql, where)
        if (have := self.evaluate(expression)) != pl.Boolean:
            raise self.fault(where, "not_boolean", f"'{sql}' gives {have}, not true or false", "write a comparison")
        return expression.fill_null(value=False)

    def learn(self, texts: Iterable[str], *, negated: bool = False) -> None:
        """Looks at SQL expressions that will be asked for (`negated`: their contraries too), many at once; faults are
        told when they are."""
        found: list[pl.Expr] = []
        for sql in texts:
            if _refusal(sql) is None:
                with suppress(PolarsError):
                    found.append(pl.sql_expr(sql))
        learn([*found, *(~each for each in found)] if negated else found, self.schema)

    def evaluate(self, expression: pl.Expr) -> pl.DataType:
        """The type of an expression here; raises a polars error when it does not type-check."""
        return types_of([expression.alias("value")], self.schema)["value"]

    @contextmanager
    def checked(self, where: str) -> Iterator[None]:
        """Turns polars' errors inside the block into a fault at `where`."""
        try:
            yield
        except PolarsError as error:
            message = first_line(error)
            if match := re.search(r'unable to find column "([^"]*)"', message):
                missing = match.group(1)
                text = f"There is no column '{missing}' here"
                raise self.fault(where, "unknown_column", text, nearest(missing, self.visible)) from None
            raise self.fault(where, "invalid_expression", message) from None


_COMMON = 500
"""Characters of an expression; of longer ones nothing is kept."""


def _refusal(sql: str) -> str | None:
    return _kept_refusal(sql) if len(sql) <= _COMMON else refusal(sql)


_kept_refusal = lru_cache(8_192)(refusal)


def first_line(error: Exception) -> str:
    """The first line of an error's text: polars adds hints for programmers below it. What is wrong with a regular
    expression is said last, below a picture of it."""
    told = str(error).strip()
    verdict = told.partition("\nerror: ")[2].partition("\n")[0] if "regex parse error" in told else ""
    return f"not a regular expression: {verdict}" if verdict else told.partition("\n")[0]
