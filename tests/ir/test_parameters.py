"""Run parameters fill the placeholders of sources' configs, and nothing else."""

from __future__ import annotations

from typing import Any

from headrace.ir import parse_ir
from headrace.ir.parameters import fill_parameters, parameters_of, unused_parameters


def document(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodes": [{"id": "s", "kind": "source", "config": config}, {"id": "t", "kind": "target", "schema": "{{x}}"}]
    }


def test_placeholders_of_sources_are_filled_at_any_depth() -> None:
    config = {"path": "orders/{{ day }}/", "pattern": {"value": "{{region}}_{{region}}.csv"}, "n": 3, "l": ["{{flag}}"]}
    filled, problems = fill_parameters(document(config), {"day": "2026-01-02", "region": 7, "flag": True})
    assert problems == []
    assert filled["nodes"][0]["config"] == {
        "path": "orders/2026-01-02/",
        "pattern": {"value": "7_7.csv"},
        "n": 3,
        "l": ["true"],
    }
    assert filled["nodes"][1]["schema"] == "{{x}}"


def test_a_missing_and_an_unused_parameter_are_reported() -> None:
    _, problems = fill_parameters(document({"path": "{{day}}.csv"}), {"dya": "x"})
    assert [(p.path, p.code, p.hint) for p in problems] == [
        ("nodes[0].config.path", "missing_parameter", 'give it when the run is started: "parameters": {"day": ...}'),
        ("parameters.dya", "unknown_parameter", "did you mean 'day'?"),
    ]


def test_single_braces_are_left_alone() -> None:
    config = {"successFolder": ".archive/{YYYY}/{MM}/"}
    assert fill_parameters(document(config), {})[0]["nodes"][0]["config"] == config


def test_a_default_is_used_where_the_run_gives_no_value() -> None:
    declared = document({"path": "{{day}}/{{n}}.csv"}) | {"parameters": {"day": {"default": "1"}, "n": {"default": 2}}}
    filled, problems = fill_parameters(declared, {"day": "7"})
    assert (filled["nodes"][0]["config"], problems) == ({"path": "7/2.csv"}, [])


def test_a_filled_document_is_one_that_can_run() -> None:
    """A run parses it: a parameter that it declared is used by nothing any more, and was a problem of every run."""
    nodes = [
        {"id": "s", "kind": "source", "connector": "local_fs", "config": {"path": "{{day}}.csv"}},
        {"id": "t", "kind": "target", "input": "s", "schema": "public.ds_t"},
    ]
    declared = {"day": {"default": "2026-01-02", "description": "The day"}}
    written = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}
    filled, problems = fill_parameters(written | {"parameters": declared}, {})
    result = parse_ir(filled)
    assert (problems, result.problems) == ([], [])
    assert result.ir is not None
    assert result.ir.nodes[0].config == {"path": "2026-01-02.csv"}


def test_parameters_are_listed_with_what_the_document_says_of_them() -> None:
    declared = document({"path": "{{day}}/{{n}}.csv"}) | {"parameters": {"n": {"description": "A number"}}}
    assert parameters_of(declared) == [{"name": "n", "description": "A number"}, {"name": "day"}]
    assert unused_parameters(declared) == []


def test_a_declared_parameter_that_no_source_uses_is_a_problem() -> None:
    declared = document({"path": "{{day}}.csv"}) | {"parameters": {"dya": {"default": "x"}}}
    assert [(p.path, p.code, p.hint) for p in unused_parameters(declared)] == [
        ("parameters.dya", "unused_parameter", "did you mean 'day'?")
    ]
