"""A document that is too large is refused with one problem, before any work is done that grows with it."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.ir import parse_ir
from headrace.ir.parsing.limits import (
    MAX_CHARACTERS,
    MAX_NODES,
    MAX_OPERATOR_SQUARES,
    MAX_PART_SQUARES,
    MAX_PATTERN_WEIGHT,
    MAX_QUERIES,
    MAX_QUERY_WORDS,
    MAX_STEPS,
    MAX_VALUES,
    MAX_WORDS,
)
from headrace.ir.parsing.regex_cost import HEAVIEST, pattern_weight, weight_in_sql
from headrace.ir.problems import MAX_PROBLEMS, nearest

HEAD = {"kind": "pipeline", "version": "1.0", "id": "x", "metadata": {"name": "x"}}
SOURCE = {"id": "src", "kind": "source", "connector": "local_fs"}
TARGET = {"id": "tgt", "kind": "target", "input": "src", "schema": "ds_x"}


def target(number: int, **settings: Any) -> dict[str, Any]:
    return {**TARGET, "id": f"t{number}", **settings}


def transform(count: int) -> dict[str, Any]:
    op = {"type": "drop", "fields": ["a"]}
    return {"id": "clean", "kind": "transform", "input": "src", "ops": [op] * count}


def expressions(sql: str, count: int) -> dict[str, Any]:
    return transform(0) | {"ops": [{"type": "expression", "field": "x", "expression": sql}] * count}


def rules(*texts: str) -> dict[str, Any]:
    row_level = [{"id": f"r{number}", "field": "a", "rule": text} for number, text in enumerate(texts)]
    return {"id": "check", "kind": "validate", "input": "src", "rowLevel": row_level}


def each(op: dict[str, Any], count: int) -> dict[str, Any]:
    return transform(0) | {"ops": [op] * count}


LONG = "a" + " + 1" * 200
LISTED = "a IN (" + ", ".join("1" * 100) + ")"
QUERY = {"type": "sql", "query": "SELECT a FROM input"}
LONG_QUERY = {"type": "sql", "query": f"SELECT a FROM input WHERE {LISTED}"}
SPLIT = {"type": "split", "field": "a", "separator": ",", "into": [f"c{number}" for number in range(200)]}
HEAVY = r"regex:^\w{100}$"


class Untouchable:
    """A node that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


@pytest.mark.parametrize(
    ("nodes", "path", "code"),
    [
        ([Untouchable()] * 10_000, "nodes", "too_many_nodes"),
        ([{}] * (MAX_NODES + 1), "nodes", "too_many_nodes"),
        ([SOURCE, transform(MAX_STEPS + 1)], "nodes", "too_many_steps"),
        ([SOURCE, *[transform(MAX_STEPS // 9)] * 10], "nodes", "too_many_steps"),
        ([SOURCE | {"fields": [{}] * (MAX_VALUES + 1)}], "", "too_large"),
        ([SOURCE | {"config": {"path": "x" * 5_000_000}}], "", "too_large"),
        ([SOURCE | {"config": {"x" * MAX_CHARACTERS: 1}}], "", "too_large"),
        ([SOURCE, rules() | {"datasetLevel": {"rowCount": [{}] * (MAX_STEPS + 1)}}], "nodes", "too_many_steps"),
        ([SOURCE, expressions(LONG, MAX_OPERATOR_SQUARES // 200**2 + 1)], "nodes", "too_many_operators"),
        ([SOURCE, expressions(LISTED, MAX_WORDS // 100 + 1)], "nodes", "too_many_words"),
        ([SOURCE, rules(*[f"expr:{LISTED}"] * (MAX_WORDS // 100))], "nodes", "too_many_words"),
        ([SOURCE, each(QUERY, MAX_QUERIES + 1)], "nodes", "too_many_queries"),
        ([SOURCE, each(LONG_QUERY, MAX_QUERY_WORDS // 100 + 1)], "nodes", "too_many_words"),
        ([SOURCE, each(SPLIT, MAX_PART_SQUARES // 200**2 + 1)], "nodes", "too_many_parts"),
        ([SOURCE, rules(*[HEAVY] * (MAX_PATTERN_WEIGHT // 60_000 + 1))], "nodes", "too_many_patterns"),
        ([SOURCE, expressions(r"regexp_like(a, '(\w{30}){3}')", 10)], "nodes", "too_many_patterns"),
        ([SOURCE, each({**SPLIT, "pattern": r"(\p{L}{100})"}, 1)], "nodes", "too_many_patterns"),
    ],
    ids=[
        *("objects", "nodes", "ops of one", "ops of several", "values", "text", "key", "dataset rules", "operators"),
        *(
            "words",
            "words of rules",
            "queries",
            "words of queries",
            "parts",
            "patterns",
            "patterns in SQL",
            "patterns of splits",
        ),
    ],
)
def test_what_is_too_large_is_one_problem(nodes: list[Any], path: str, code: str) -> None:
    assert [(each.path, each.code) for each in parse_ir({**HEAD, "nodes": nodes}).problems] == [(path, code)]


def test_what_is_just_not_too_large_is_read() -> None:
    nodes = [SOURCE, *map(target, range(MAX_NODES - 1))]
    assert parse_ir({**HEAD, "nodes": nodes}).problems == []
    for full in (
        transform(MAX_STEPS),
        expressions(LONG, MAX_OPERATOR_SQUARES // 200**2),
        expressions("a IN (1, 2, 3) AND b > 4", MAX_STEPS),
        each(QUERY, MAX_QUERIES),
        each(SPLIT, MAX_PART_SQUARES // 200**2),
        rules(*["regex:^[A-Z]{2}-[0-9]+$"] * MAX_STEPS) | {"id": "clean"},
    ):
        assert parse_ir({**HEAD, "nodes": [target(1, input="clean"), SOURCE, full]}).problems == []


def test_hints_are_looked_for_as_often_as_they_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(word: object, choices: Any) -> str:
        asked.append(word)
        return nearest(word, choices)

    monkeypatch.setattr("headrace.ir.parsing.structure.nearest", counted)
    nodes = [SOURCE, *(target(number, input=f"scr{number}") for number in range(MAX_NODES - 1))]
    assert len(parse_ir({**HEAD, "nodes": nodes}).problems) == MAX_PROBLEMS
    assert len(asked) == MAX_PROBLEMS


def test_a_word_as_long_as_a_page_is_compared_with_nothing() -> None:
    assert nearest("appendd", ["append", "upsert"]) == "did you mean 'append'?"
    assert nearest("append" * 100, ["append" * 99 + "appen", "upsert"]).startswith("one of: ")


@pytest.mark.parametrize(
    ("pattern", "at_least", "at_most"),
    [
        ("abc", 100, 110),
        (r"\w{100}", 50_000, 70_000),
        (r"(\w{10}){10}", 50_000, 70_000),
        (r"[a-z]{100}", 200, 2_000),
        (r"[\w\]x]{10}[^]]", 5_000, 8_000),
        ("(?i:" + "x" * 400 + ")", 1_000, 3_000),
        (r"(?P<year>\d{4})-\p{Lu}", 800, 1_200),
        ("a{2,}{3,}", 100, 120),
        (r"((\w{1000}){1000}){999999999}", HEAVIEST, HEAVIEST),
        ("\\", 100, 110),
        ("[" * 1000, 100, 200),
        (")(" * 1000 + "{9999999999999}", 100, 400),
    ],
)
def test_a_pattern_weighs_what_it_is_written_out(pattern: str, at_least: int, at_most: int) -> None:
    assert at_least <= pattern_weight(pattern) <= at_most


def test_texts_weigh_only_where_they_may_be_patterns() -> None:
    assert weight_in_sql(r"a = '\w{100}' and b like '\w{100}'") == 0
    assert weight_in_sql(r"a ~ '\w{100}'") == weight_in_sql(r"REGEXP_LIKE(a, '\w{100}')") == pattern_weight(r"\w{100}")
