"""The dataset rules: row counts, null rates, uniqueness, freshness, statistics."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from headrace.ir.base import ColumnName, Doc
from headrace.ir.ops.rows import Columns
from headrace.ir.problems import fault

OnDatasetFail = Literal["abort", "warn"]


class DatasetRule(Doc):
    """A rule on all rows together that leave the validate node. `abort`: the run fails, and no row after the node
    becomes visible in a target. `warn`: the rows are loaded, and the log, the report and the run name the rule."""

    on_fail: OnDatasetFail = "abort"
    """What happens when the rule does not hold."""


class Bounded(DatasetRule):
    """A rule with a lower and an upper bound, at least one of them."""

    min: float | None = None
    """The smallest allowed value."""
    max: float | None = None
    """The largest allowed value."""

    @model_validator(mode="after")
    def _has_bounds(self) -> Bounded:
        if self.min is None and self.max is None:
            raise fault("missing_field", "Neither 'min' nor 'max' is given", "give at least one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise fault("invalid_value", f"'min' ({self.min:g}) is above 'max' ({self.max:g})", "swap them")
        return self


class _OneIsAList:
    """Accepts one item where a list is expected."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def as_list(value: Any) -> Any:
            return value if isinstance(value, list | tuple) else [value]

        return core_schema.no_info_before_validator_function(as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


RuleT = TypeVar("RuleT", bound=DatasetRule)

Several = Annotated[tuple[RuleT, ...], Field(max_length=100), _OneIsAList()]
"""One rule, or a list of rules of its kind."""


StatisticFn = Literal["min", "max", "mean", "sum", "median", "stddev", "count", "count_distinct"]


class NullRate(DatasetRule):
    """At most this share of the rows, from 0 to 1, may be null in the field."""

    field: ColumnName
    """The column."""
    max: float = Field(ge=0, le=1)
    """The largest allowed share of nulls."""


class Uniqueness(DatasetRule):
    """The share of distinct rows, from 0 to 1, must be at least this: the number of distinct combinations of the
    fields' values, where nulls are equal, divided by the number of rows."""

    fields: Annotated[Columns, Field(min_length=1)]
    """The columns whose combinations are counted."""
    min: float = Field(default=1.0, ge=0, le=1)
    """The smallest allowed share of distinct rows; by default all rows must be distinct."""


class Freshness(DatasetRule):
    """The newest value of the field, a date or a timestamp, may be at most this many hours old when the rule is
    checked. A timestamp without a time zone is taken as UTC, a date as the end of the day."""

    field: ColumnName
    """The column."""
    max_age_hours: float = Field(gt=0)
    """The largest allowed age of the newest value, in hours."""


class Statistic(Bounded):
    """`fn` over the field's values, without nulls, must lie between `min` and `max`. Without any value the rule fails,
    unless `fn` counts."""

    field: ColumnName
    """The column."""
    fn: StatisticFn
    """The statistic."""


class RowCount(Bounded):
    """The number of rows that leave the node must lie between `min` and `max`."""

    min: int | None = Field(default=None, ge=0)
    """The smallest allowed number."""
    max: int | None = Field(default=None, ge=0)
    """The largest allowed number."""


class RowCountAnomaly(DatasetRule):
    """The number of rows may differ by at most `maxDeviationPct` percent from the mean of the last `lookbackRuns`
    completed runs of the pipeline. Without such runs the rule holds. Replays of failed rows are not counted."""

    max_deviation_pct: float = Field(gt=0, le=100_000)
    """The largest allowed deviation, in percent of the mean."""
    lookback_runs: int = Field(default=5, ge=1, le=100)
    """The number of runs that the mean is taken over."""
