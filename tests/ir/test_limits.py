"""A document that is too large is refused with one problem, before any work is done that grows with it."""

from __future__ import annotations

from typing import Any

import pytest

from ir import parse_ir
from ir.limits import MAX_CHARACTERS, MAX_NODES, MAX_OPERATORS, MAX_STEPS, MAX_VALUES
from ir.problems import MAX_PROBLEMS, nearest

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
        ([SOURCE, expressions("a" + " + 1" * 200, MAX_OPERATORS // 200 + 1)], "nodes", "too_many_operators"),
    ],
    ids=["objects", "nodes", "ops of one", "ops of several", "values", "text", "key", "operators"],
)
def test_what_is_too_large_is_one_problem(nodes: list[Any], path: str, code: str) -> None:
    assert [(each.path, each.code) for each in parse_ir({**HEAD, "nodes": nodes}).problems] == [(path, code)]


def test_what_is_just_not_too_large_is_read() -> None:
    nodes = [SOURCE, *map(target, range(MAX_NODES - 1))]
    assert parse_ir({**HEAD, "nodes": nodes}).problems == []
    for full in (transform(MAX_STEPS), expressions("a" + " + 1" * 200, MAX_OPERATORS // 200)):
        assert parse_ir({**HEAD, "nodes": [target(1, input="clean"), SOURCE, full]}).problems == []


def test_hints_are_looked_for_as_often_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(word: object, choices: Any) -> str:
        asked.append(word)
        return nearest(word, choices)

    monkeypatch.setattr("ir.structure.nearest", counted)
    nodes = [SOURCE, *(target(number, input=f"scr{number}") for number in range(MAX_NODES - 1))]
    assert len(parse_ir({**HEAD, "nodes": nodes}).problems) == MAX_PROBLEMS
    assert len(asked) == MAX_PROBLEMS


def test_a_word_as_long_as_a_page_is_compared_with_nothing() -> None:
    assert nearest("appendd", ["append", "upsert"]) == "did you mean 'append'?"
    assert nearest("append" * 100, ["append" * 99 + "appen", "upsert"]).startswith("one of: ")
