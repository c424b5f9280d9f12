"""The cache of schema checks does not change their results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, SchemaError

from headrace.deployments.prefect.registered_pipeline import RegisteredPipeline
from headrace.deployments.stack.prefect_server import remember_schemas


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The schemas that jsonschema itself has evaluated."""
    seen: list[Any] = []
    evaluate = Draft202012Validator.check_schema

    def counted(schema: Any, *given: Any, **named: Any) -> None:
        seen.append(schema)
        evaluate(schema, *given, **named)

    monkeypatch.setattr(Draft202012Validator, "check_schema", counted)
    remember_schemas()
    yield seen
    monkeypatch.undo()


def test_the_schemas_of_all_pipelines_are_evaluated_once(evaluated: list[Any]) -> None:
    for pipeline_id in ("pipe_1", "pipe_2", 'a "quoted" \\ one', ""):
        Draft202012Validator.check_schema(RegisteredPipeline(pipeline_id, "Orders", "default").parameter_schema)
    assert len(evaluated) == 1


def test_a_bad_schema_is_refused_each_time_and_others_are_evaluated_by_themselves(evaluated: list[Any]) -> None:
    good = {"properties": {"a": {"enum": ["x"]}}}
    bad: list[dict[str, Any]] = [
        {"properties": {"a": {"enum": "x"}}},
        {"properties": {"a": {"enum": ["x"], "type": "no such type"}}},
        {"properties": {"a": {"enum": ["x"]}}, "required": "a"},
    ]
    Draft202012Validator.check_schema(good)
    for _ in range(2):
        for schema in bad:
            with pytest.raises(SchemaError):
                Draft202012Validator.check_schema(schema)
    assert len(evaluated) == 1 + 2 * len(bad)
