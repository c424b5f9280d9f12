"""`rowCount` and `rowCountAnomaly`"""

from __future__ import annotations

import polars as pl

from headrace.flows.compile.dataset_rules.base import Assertion, Facts, Needed, Verdict
from headrace.flows.compile.dataset_rules.measure import Measure, added
from headrace.flows.compile.scope import Scope
from headrace.ir.dataset_rules import RowCount, RowCountAnomaly

ROWS = Measure("rows", (pl.len(),), added)


def row_count(rule: RowCount, scope: Scope, path: str) -> Assertion:
    """Holds when the number of rows is within the bounds."""

    def evaluate(facts: Facts) -> Verdict:
        rows = facts.count(ROWS)
        return Verdict(within(rows, rule.min, rule.max), counted(rows))

    rows = "row" if (rule.min if rule.max is None else rule.max) == 1 else "rows"
    return Assertion(path, f"{between(rule.min, rule.max)} {rows}", rule.on_fail, (Needed(ROWS),), evaluate)


def row_count_anomaly(rule: RowCountAnomaly, scope: Scope, path: str) -> Assertion:
    """Holds when the number of rows is within `maxDeviationPct` of the mean of earlier runs, or there are none."""
    most = f"{rule.max_deviation_pct:g} %"

    def evaluate(facts: Facts) -> Verdict:
        rows = facts.count(ROWS)
        before = facts.earlier(rule.lookback_runs)
        if not before:
            return Verdict(holds=True, found=f"{counted(rows)}; no earlier run to compare with")
        usual = sum(before) / len(before)
        apart = abs(rows - usual) / usual * 100 if usual else 0.0
        runs = "the run" if len(before) == 1 else f"the {len(before)} runs"
        if rows and not usual:  # infinitely many per cent off
            return Verdict(holds=False, found=f"{counted(rows)}, and {runs} before had none")
        found = f"{counted(rows)}, {apart:,.1f} % off the mean of {runs} before, {usual:,.0f}"
        return Verdict(apart <= rule.max_deviation_pct, found)

    wants = f"rows within {most} of those of the last {rule.lookback_runs} runs"
    return Assertion(path, wants, rule.on_fail, (Needed(ROWS),), evaluate)


def within(value: float, least: float | None, most: float | None) -> bool:
    """Whether a value is within the bounds, each of which may be None; NaN never is."""
    return value == value and (least is None or value >= least) and (most is None or value <= most)  # noqa: PLR0124


def between(least: float | None, most: float | None) -> str:
    """The bounds as text."""
    if least == most and most is not None:
        return f"exactly {shown(most)}"
    if least is None:
        return f"at most {shown(most)}"
    return f"at least {shown(least)}" if most is None else f"{shown(least)} to {shown(most)}"


def shown(value: float | None) -> str:
    """A number as text: integers with all digits, floats with ten."""
    return f"{value:,.10g}" if isinstance(value, float) else f"{value:,}"


def counted(rows: int) -> str:
    """A number of rows as text."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"
