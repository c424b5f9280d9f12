"""`nullRate`, `uniqueness`, `freshness` and `statistic`"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from headrace.flows.compile.dataset_rules.base import Assertion, Facts, Needed, Verdict
from headrace.flows.compile.dataset_rules.measure import Measure, added, greatest, least, moments
from headrace.flows.compile.dataset_rules.rows import ROWS, between, counted, shown, within
from headrace.flows.compile.grouping import side
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.ir.dataset_rules import Freshness, NullRate, Statistic, Uniqueness

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 24 * 60 * 60 * 1_000_000
_VALUE = "value"
COUNTS = ("count", "count_distinct")


def null_rate(rule: NullRate, scope: Scope, path: str) -> Assertion:
    """Holds when the share of nulls is at most `max`. Raises PlanError for an unknown column."""
    scope.column(rule.field, f"{path}.field")
    nulls = Measure(f"nulls of {rule.field}", (pl.col(rule.field).null_count(),), added)

    def evaluate(facts: Facts) -> Verdict:
        missing, rows = facts.count(nulls), facts.count(ROWS)
        rate = missing / rows if rows else 0.0
        return Verdict(rate <= rule.max, f"{missing:,} of {counted(rows)}, {rate:.4g}")

    wants = f"at most {rule.max:g} of the rows without a value in '{rule.field}'"
    return Assertion(path, wants, rule.on_fail, (Needed(ROWS), Needed(nulls)), evaluate)


def uniqueness(rule: Uniqueness, scope: Scope, path: str) -> Assertion:
    """Holds when the share of distinct rows is at least `min`. Raises PlanError for an unknown column."""
    for index, name in enumerate(rule.fields):
        scope.column(name, f"{path}.fields[{index}]")
    named = ", ".join(rule.fields)
    different = _distinct(scope, rule.fields, f"different {named}", f"{path}.fields")

    def evaluate(facts: Facts) -> Verdict:
        found, rows = facts.count(different.measure), facts.count(ROWS)
        rate = found / rows if rows else 1.0
        return Verdict(rate >= rule.min, f"{found:,} different of {counted(rows)}, {rate:.4g}")

    wants = f"at least {rule.min:g} of the rows different in {named}"
    return Assertion(path, wants, rule.on_fail, (Needed(ROWS), different), evaluate)


def freshness(rule: Freshness, scope: Scope, path: str) -> Assertion:
    """Holds when the newest value is at most `maxAgeHours` old. Raises PlanError unless they are dates or times."""
    have = scope.column(rule.field, f"{path}.field")
    if not isinstance(have, pl.Date | pl.Datetime):
        message = f"'freshness' needs a date or a time, but '{rule.field}' is {have}"
        raise scope.fault(f"{path}.field", "wrong_type", message, "cast the field before")
    micros = pl.col(rule.field).max().cast(pl.Datetime("us")).cast(pl.Int64)
    if isinstance(have, pl.Date):
        micros += _DAY_US
    elif have.time_zone is not None:
        micros = pl.col(rule.field).max().dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC")).cast(pl.Int64)
    newest = Measure(f"newest {rule.field}", (micros,), greatest)

    def evaluate(facts: Facts) -> Verdict:
        value = facts.number(newest)
        if value is None:
            return Verdict(holds=False, found="no value")
        # In numbers: a date may be later than the last one of Python's calendar.
        age = (facts.now - _EPOCH) / timedelta(hours=1) - value / 3_600_000_000
        return Verdict(age <= rule.max_age_hours, f"{max(age, 0):,.1f} hours old")

    hours = f"{rule.max_age_hours:g} hour{'' if rule.max_age_hours == 1 else 's'}"
    wants = f"the newest '{rule.field}' at most {hours} old"
    return Assertion(path, wants, rule.on_fail, (Needed(newest),), evaluate, rule.field)


def statistic(rule: Statistic, scope: Scope, path: str) -> Assertion:
    """Holds when the statistic is within the bounds. Raises PlanError when it needs numbers and the column has none."""
    have = scope.column(rule.field, f"{path}.field")
    if rule.fn not in COUNTS and not (have.is_numeric() or have == pl.Null):
        message = f"'{rule.fn}' needs numbers, but '{rule.field}' is {have}"
        raise scope.fault(f"{path}.field", "wrong_type", message, "cast the field before")
    needed = _needed(rule, scope, have, path)

    def evaluate(facts: Facts) -> Verdict:
        value = _value(rule, facts, needed)
        if value is None:
            return Verdict(holds=False, found="no value")
        return Verdict(within(value, rule.min, rule.max), shown(value))

    wants = f"{rule.fn} of '{rule.field}' {between(rule.min, rule.max)}"
    shown_field = None if rule.fn in COUNTS else rule.field
    return Assertion(path, wants, rule.on_fail, (needed,), evaluate, shown_field)


def _needed(rule: Statistic, scope: Scope, have: pl.DataType, path: str) -> Needed:
    value = pl.col(rule.field)
    # Integers sum exactly; everything else, decimals too, is compared with the bounds as a float.
    number = value.cast(pl.Int128) if have.is_integer() else value.cast(pl.Float64)
    name, has_values = f"{rule.fn} of {rule.field}", value.count() > 0
    match rule.fn:
        case "count":
            return Needed(Measure(name, (value.count(),), added))
        case "count_distinct":
            return _distinct(scope, (rule.field,), name, f"{path}.field", nulls=False)
        case "sum":
            return Needed(Measure(name, (pl.when(has_values).then(number.sum()),), added))
        case "min":
            return Needed(Measure(name, (number.min(),), least))
        case "max":
            return Needed(Measure(name, (number.max(),), greatest))
        case "mean" | "stddev":
            number = value.cast(pl.Float64)
            square = number.var(ddof=0) * value.count()
            return Needed(Measure(f"moments of {rule.field}", (value.count(), number.mean(), square), moments))
        case "median":
            median = value.cast(pl.Float64).median()

            def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
                return frames[0].select(median.alias(_VALUE))

            only = Shuffle((side(scope, (), path, values=(rule.field,)),), evaluate, {})
            step = Step(scope.node, scope.path, name, shuffle=only)
            return Needed(Measure(name, (pl.col(_VALUE).max(),), greatest), step)


def _value(rule: Statistic, facts: Facts, needed: Needed) -> int | float | None:
    if rule.fn not in ("mean", "stddev"):
        found = facts.number(needed.measure)
        return (found or 0) if rule.fn in COUNTS else found
    many, mean, square = facts.of(needed.measure)
    if rule.fn == "mean" or not many:
        return mean
    # Of a sample, as SQL's stddev, which is null for one value.
    return math.sqrt(square / (many - 1)) if many > 1 and square is not None else None


def _distinct(scope: Scope, fields: Sequence[str], name: str, where: str, *, nulls: bool = True) -> Needed:
    """The number of distinct combinations of values of the fields."""

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        rows = frames[0].select(fields)
        return (rows if nulls else rows.drop_nulls()).unique().select(pl.len().cast(pl.Int64).alias(_VALUE))

    shuffle = Shuffle((side(scope, fields, where, values=()),), evaluate, {})
    return Needed(Measure(name, (pl.col(_VALUE).sum(),), added), Step(scope.node, scope.path, name, shuffle=shuffle))
