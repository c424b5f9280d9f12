"""The input and the result of compiling a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.datatypes import field_of_polars
from headrace.flows.compile.casting import ImpossibleCast, read_as
from headrace.flows.compile.reference_tables import Broadcast
from headrace.flows.compile.scope import Scope


@dataclass(frozen=True, slots=True)
class Column:
    """The column that a rule checks. Faults are reported in `scope`, at the text of the rule."""

    name: str
    dtype: pl.DataType
    scope: Scope

    @property
    def value(self) -> pl.Expr:
        """The column's values."""
        return pl.col(self.name)

    def literal(self, text: str) -> pl.Expr:
        """A literal of the rule, read as the column's type. Raises PlanError when it cannot be."""
        if self._plain:
            return pl.lit(self.literals((text,))[0])
        read = self._read((text,))
        return pl.lit(read.item(), dtype=read.dtype)

    def literals(self, texts: Sequence[str]) -> list[Any]:
        """The values of several literals. Raises PlanError for the first that cannot be read."""
        if self.dtype == pl.Null:
            return [None] * len(texts)
        return [self._read_number(text) for text in texts] if self._plain else self._read(texts).to_list()

    @property
    def _plain(self) -> bool:
        return self.dtype == pl.Null or self.dtype.is_integer() or self.dtype.is_float()

    def _read(self, texts: Sequence[str]) -> pl.Series:
        given = pl.Series("value", texts, dtype=pl.String)
        field = field_of_polars(self.name, self.dtype)
        try:
            read = given.to_frame().select(read_as(pl.col("value"), pl.String(), field)).to_series()
        except ImpossibleCast as error:
            raise self.scope.fault("rule", "rule_arguments", str(error)) from None
        if read.null_count():
            wrong = given.filter(read.is_null())[0]
            message = f"'{wrong}' is not a {field.data_type}, but '{self.name}' is"
            raise self.scope.fault("rule", "rule_arguments", message)
        return read

    def _read_number(self, text: str) -> int | float:
        number = _number(text)
        if number is None:
            raise self.scope.fault("rule", "rule_arguments", f"'{text}' is not a number, but '{self.name}' is")
        return number

    def text(self, rule: str) -> pl.Expr:
        """The values of a text column. Raises PlanError for other types."""
        if self.dtype not in (pl.String, pl.Null):
            message = f"'{rule}' looks at text, but '{self.name}' is {self.dtype}"
            raise self.scope.fault("rule", "rule_type", message, "use a comparison, or cast the field to text before")
        return self.value.cast(pl.String)


@dataclass(frozen=True, slots=True)
class Condition:
    """When a row fails, and the message. Where `fails` is null the row passes. `reads` are the lookup tables of
    `fails`. `typed`: it was type-checked already, and is not evaluated to find faults."""

    fails: pl.Expr
    message: str
    reads: tuple[Broadcast, ...] = ()
    typed: bool = False


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return None
