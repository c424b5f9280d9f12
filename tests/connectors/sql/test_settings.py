"""Validation of configs when they are saved, with place and hint."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import table_name
from headrace.connectors.sql.settings import SqlSettings, lag_of, settings_of, sql_problems

problems = sql_problems("postgres")


@pytest.mark.parametrize(
    "config",
    [
        {"table": "public.orders"},
        {"table": 'sales."2024.q1"', "columns": ["id"], "key": ["id"]},
        {"table": "{{schema}}.orders"},
        {"table": "t", "cursor": {"column": "at", "initial": "{{since}}", "lag": "PT5M"}},
        {"table": "t", "cursor": {"column": "id", "lag": 100, "key": []}},
        {"table": "t", "partitioning": {"by": "key", "column": "id", "partitions": "{{parts}}"}},
        {"query": "SELECT * FROM t WHERE at > :since", "parameters": {"since": "{{since}}"}},
    ],
)
def test_what_can_be_is_no_problem(config: dict[str, Any]) -> None:
    assert problems(config) == []


@pytest.mark.parametrize(
    ("config", "path", "code"),
    [
        ({}, "config", "missing_field"),
        ({"table": "t", "query": "SELECT 1"}, "config", "missing_field"),
        ({"tabel": "t", "query": "SELECT 1"}, "config.tabel", "unknown_field"),
        ({"table": "a.b.c.d"}, "config.table", "bad_table"),
        ({"table": "t", "parameters": {"a": 1}}, "config", "bad_option"),
        ({"table": "t", "columns": ["a", "a"]}, "config", "bad_option"),
        ({"table": "t", "cursor": {"column": "at", "lag": "5 minutes"}}, "config.cursor.lag", "bad_lag"),
        ({"table": "t", "where": "a = 1"}, "config.where", "unknown_field"),
        ({"table": "t", "partitioning": {"partitions": 0}}, "config.partitioning.partitions", "greater_than_equal"),
        ({"query": "DROP TABLE t"}, "config.query", "bad_query"),
        ({"query": "SELECT '{{x}}'"}, "config.query", "bad_query"),
    ],
)
def test_what_cannot_be_is_reported_with_its_place(config: dict[str, Any], path: str, code: str) -> None:
    assert [(each.path, each.code) for each in problems(config)] == [(path, code)]


def test_a_source_is_not_opened_with_what_cannot_be() -> None:
    with pytest.raises(SourceError, match=r"config\.table") as refused:
        settings_of({"table": "a.b.c.d"})
    assert refused.value.code == "bad_option"
    assert settings_of({"table": "t", "timeoutSeconds": 5}) == SqlSettings(table="t", timeout_seconds=5)


def test_lags() -> None:
    assert lag_of("PT5M") == timedelta(minutes=5)
    assert lag_of("P1DT2H0.5S") == timedelta(days=1, hours=2, seconds=0.5)
    assert lag_of("P2W") == timedelta(weeks=2)
    assert lag_of(90) == Decimal(90)
    for bad in ("P", "PT", "P1M", "-5", "nan", "5 min", ""):
        with pytest.raises(ValueError):  # noqa: PT011
            lag_of(bad)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=3))
def test_a_quoted_name_is_any_name(parts: list[str]) -> None:
    written = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
    assert table_name(written) == (tuple(parts) or None)
