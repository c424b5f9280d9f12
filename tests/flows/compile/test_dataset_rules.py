"""Dataset rules measure the same for any batches, and their results and messages are correct."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.source import ROW
from headrace.flows.compile.dataset_rules import COMPILERS, compile_dataset_rules
from headrace.flows.compile.dataset_rules.base import Assertion, Facts, Verdict
from headrace.flows.compile.dataset_rules.measure import measure, merged, restored, stored
from headrace.flows.compile.scope import Scope
from headrace.ir.dataset_rules import DatasetLevel
from headrace.ir.nodes import ValidateNode
from headrace.ir.problems import Problem

SCHEMA = pl.Schema(
    {"id": pl.Int64, "amount": pl.Float64, "price": pl.Decimal(12, 2), "name": pl.String, "at": pl.Datetime("us")}
    | {"day": pl.Date, "zoned": pl.Datetime("us", "Europe/Berlin"), "wide": pl.Decimal(38, 0), ROW: pl.Int64}
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32))


def compiled(**rules: Any) -> tuple[list[Assertion], list[Problem]]:
    node = ValidateNode(id="check", kind="validate", input="src", dataset_level=DatasetLevel(**rules))
    problems: list[Problem] = []
    audit = compile_dataset_rules(node, Scope("check", "nodes[1]", SCHEMA), problems)
    return list(audit.assertions) if audit is not None else [], problems


def evaluated(frames: list[pl.DataFrame], earlier: list[int] | None = None, **rules: Any) -> Verdict:
    """What one rule says of rows that come in these pieces."""
    (assertion,), _ = compiled(**rules)
    found: dict[str, Any] = {}
    for needed in assertion.needs:
        pieces = frames
        if needed.shuffle is not None:  # rows that are gathered come together first
            assert needed.shuffle.shuffle is not None
            pieces = [needed.shuffle.shuffle.apply([pl.concat(frames).lazy()]).collect()]
        parts = [restored(stored(measure(piece, [needed.measure]))) for piece in pieces]
        found |= merged([needed.measure], parts)
    return assertion.evaluate(Facts(found, lambda runs: (earlier or [])[:runs], NOW))


def rows(**columns: list[Any]) -> pl.DataFrame:
    many = len(next(iter(columns.values())))
    given = {name: columns.get(name, [None] * many) for name in SCHEMA if name != ROW}
    return pl.DataFrame(given | {ROW: list(range(1, many + 1))}, schema=SCHEMA)


@given(
    st.lists(st.lists(NUMBERS, max_size=8), min_size=1, max_size=6), st.sampled_from(["min", "max", "mean", "stddev"])
)
def test_a_statistic_does_not_depend_on_how_rows_are_cut(pieces: list[list[float | None]], fn: str) -> None:
    frames = [rows(amount=piece) for piece in pieces]
    whole = pl.Series([value for piece in pieces for value in piece if value is not None], dtype=pl.Float64)
    expected = {"min": whole.min(), "max": whole.max(), "mean": whole.mean(), "stddev": whole.std()}[fn]
    rule = {"field": "amount", "fn": fn}
    if expected is None:
        return
    exact = float(expected)  # type: ignore[arg-type]
    slack = 1e-9 * max(1.0, abs(exact), float(whole.abs().max() or 0))  # type: ignore[arg-type]
    assert evaluated(frames, statistic={**rule, "min": exact - slack, "max": exact + slack}).holds
    assert not evaluated(frames, statistic={**rule, "min": exact + 2 * slack}).holds


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), min_size=1, max_size=5))
def test_a_sum_of_integers_is_exact(pieces: list[list[int]]) -> None:
    verdict = evaluated([rows(id=piece) for piece in pieces], statistic={"field": "id", "fn": "sum", "min": 0})
    every = [value for piece in pieces for value in piece]
    assert verdict == (Verdict(sum(every) >= 0, f"{sum(every):,}") if every else Verdict(False, "no value"))


@pytest.mark.parametrize(
    ("rule", "holds", "found"),
    [
        ({"rowCount": {"min": 4}}, True, "4 rows"),
        ({"rowCount": {"min": 5}}, False, "4 rows"),
        ({"rowCount": {"max": 3}}, False, "4 rows"),
        ({"nullRate": {"field": "name", "max": 0.25}}, True, "1 of 4 rows, 0.25"),
        ({"nullRate": {"field": "name", "max": 0.24}}, False, "1 of 4 rows, 0.25"),
        ({"uniqueness": {"fields": ["id"]}}, False, "3 different of 4 rows, 0.75"),
        ({"uniqueness": {"fields": ["id"], "min": 0.75}}, True, "3 different of 4 rows, 0.75"),
        ({"uniqueness": {"fields": ["id", "name"]}}, True, "4 different of 4 rows, 1"),
        ({"freshness": {"field": "at", "maxAgeHours": 2}}, True, "1.5 hours old"),
        ({"freshness": {"field": "at", "maxAgeHours": 1}}, False, "1.5 hours old"),
        ({"freshness": {"field": "zoned", "maxAgeHours": 1}}, True, "0.5 hours old"),
        ({"freshness": {"field": "day", "maxAgeHours": 12}}, True, "12.0 hours old"),
        ({"statistic": {"field": "amount", "fn": "mean", "min": 2, "max": 2}}, True, "2"),
        ({"statistic": {"field": "price", "fn": "sum", "max": 9.99}}, False, "10"),
        ({"statistic": {"field": "amount", "fn": "median", "min": 2, "max": 2}}, True, "2"),
        ({"statistic": {"field": "name", "fn": "count", "min": 3, "max": 3}}, True, "3"),
        ({"statistic": {"field": "name", "fn": "count_distinct", "min": 3}}, False, "2"),
        ({"statistic": {"field": "id", "fn": "max", "max": 2}}, False, "3"),
    ],
)
def test_each_rule(rule: dict[str, Any], holds: bool, found: str) -> None:
    data = rows(
        id=[1, 1, 2, 3],
        amount=[1.0, None, 2.0, 3.0],
        price=["1.50", "2.50", "2.75", "3.25"],
        name=["a", "b", None, "a"],
        at=[None, datetime(2026, 3, 1, 10, 30), datetime(2026, 2, 1), None],
        day=[date(2026, 2, 28), None, None, date(2020, 1, 1)],
        zoned=[datetime(2026, 3, 1, 11, 30, tzinfo=UTC), None, None, None],
    )
    assert evaluated([data[:1], data[1:1], data[1:3], data[3:]], **rule) == Verdict(holds, found)


@pytest.mark.parametrize(
    ("earlier", "holds", "found"),
    [
        ([], True, "110 rows; no earlier run to compare with"),
        ([100], True, "110 rows, 10.0 % off the mean of the run before, 100"),
        ([100, 80], False, "110 rows, 22.2 % off the mean of the 2 runs before, 90"),
        ([0, 0], False, "110 rows, and the 2 runs before had none"),
        ([0], False, "110 rows, and the run before had none"),
    ],
)
def test_an_anomaly_is_evaluated_by_the_runs_before(earlier: list[int], holds: bool, found: str) -> None:
    rule = {"maxDeviationPct": 10, "lookbackRuns": 2}
    assert evaluated([rows(id=[1] * 110)], earlier, rowCountAnomaly=rule) == Verdict(holds, found)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"rowCount": {"min": 1}}, False),
        ({"nullRate": {"field": "name", "max": 0}}, True),
        ({"uniqueness": {"fields": ["id"]}}, True),
        ({"freshness": {"field": "at", "maxAgeHours": 1}}, False),
        ({"statistic": {"field": "amount", "fn": "mean", "min": 0}}, False),
        ({"statistic": {"field": "amount", "fn": "median", "min": 0}}, False),
        ({"statistic": {"field": "amount", "fn": "count", "max": 0}}, True),
        ({"statistic": {"field": "amount", "fn": "stddev", "max": 1}}, False),
    ],
)
def test_no_rows_at_all(rule: dict[str, Any], holds: bool) -> None:
    assert evaluated([rows(id=[])], **rule).holds is holds


def test_not_a_number_is_reported_and_lies_nowhere() -> None:
    frames = [rows(amount=[math.nan]), rows(amount=[1.0])]
    verdict = evaluated(frames, statistic={"field": "amount", "fn": "sum", "min": -1e9})
    assert verdict == Verdict(holds=False, found="nan")
    assert evaluated([rows(amount=[math.inf])], statistic={"field": "amount", "fn": "max", "min": 1}).found == "inf"


@given(st.permutations([[math.nan], [1.0], [math.nan, 2.0], []]))
def test_the_smallest_and_the_greatest_are_of_what_is_a_number(pieces: list[list[float]]) -> None:
    frames = [rows(amount=piece) for piece in pieces]
    assert evaluated(frames, statistic={"field": "amount", "fn": "min", "max": 1}) == Verdict(holds=True, found="1")
    assert evaluated(frames, statistic={"field": "amount", "fn": "max", "min": 2}) == Verdict(holds=True, found="2")


@pytest.mark.parametrize("fn", ["min", "mean", "median", "stddev"])
def test_the_greatest_numbers_there_are_can_be_evaluated(fn: str) -> None:
    wide = {"field": "wide", "fn": fn, "max": 1e300}
    assert evaluated([rows(wide=[Decimal("9" * 38)] * 3)], statistic=wide).holds
    frames = [rows(amount=[1.7e308]), rows(amount=[1.6e308])]
    assert not evaluated(frames, statistic={"field": "amount", "fn": fn, "max": 1}).holds


def test_a_great_number_comes_back_from_the_database_as_it_was() -> None:
    """jsonb writes it as an integer, which Python would then reckon with digit by digit."""
    kept = {"m": (1e300, math.inf, 1, None)}
    assert restored(stored(kept)) == kept
    assert [type(value) for value in stored(kept)["m"]] == [str, str, int, type(None)]


@pytest.mark.parametrize(
    ("rule", "wants"),
    [
        ({"rowCount": {"min": 1000, "max": 1000}}, "exactly 1,000 rows"),
        ({"rowCount": {"min": 1}}, "at least 1 row"),
        ({"statistic": {"field": "amount", "fn": "max", "max": 20}}, "max of 'amount' at most 20"),
    ],
)
def test_what_is_wanted_reads_well(rule: dict[str, Any], wants: str) -> None:
    (assertion,), _ = compiled(**rule)
    assert assertion.wants == wants


@pytest.mark.parametrize(
    ("rule", "path", "code"),
    [
        ({"nullRate": {"field": "nam", "max": 0}}, "nodes[1].datasetLevel.nullRate.field", "unknown_column"),
        (
            {"uniqueness": [{"fields": ["id"]}, {"fields": ["id", "x"]}]},
            "nodes[1].datasetLevel.uniqueness[1].fields[1]",
            "unknown_column",
        ),
        ({"freshness": {"field": "id", "maxAgeHours": 1}}, "nodes[1].datasetLevel.freshness.field", "wrong_type"),
        (
            {"statistic": {"field": "name", "fn": "mean", "min": 1}},
            "nodes[1].datasetLevel.statistic.field",
            "wrong_type",
        ),
    ],
)
def test_what_does_not_fit_the_columns_is_reported_at_its_place(rule: dict[str, Any], path: str, code: str) -> None:
    _, problems = compiled(**rule)
    assert [(problem.path, problem.code) for problem in problems] == [(path, code)]


def test_every_rule_of_the_document_is_compiled() -> None:
    inside = {get_args(field.annotation)[0] for field in DatasetLevel.model_fields.values()}
    assert inside == set(COMPILERS)
