"""The published JSON Schema accepts valid documents, rejects invalid ones, and agrees with the parser."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.flows.validation.document_schema import published_schema
from headrace.ir import parse_ir
from headrace.ir.document import PipelineIR
from headrace.ir.json_schema import document_schema
from tests.effort import examples

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/*/pipeline.json"))
DOCUMENTS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in EXAMPLES]

FULL: dict[str, Any] = {
    "$schema": "https://headrace.example.com/api/v1/ir/schema",
    "kind": "pipeline",
    "version": "1.0",
    "id": "orders",
    "metadata": {"name": "Orders", "owner": "data-team", "tags": ["batch"]},
    "schedule": {"kind": "cron", "expression": "0 2 * * *", "timezone": "Europe/Paris"},
    "nodes": [
        {
            "id": "src",
            "kind": "source",
            "connector": "local_fs",
            "config": {
                "path": "orders/{{day}}/",
                "pattern": {"type": "date_glob", "value": "orders_{YYYY}*.csv"},
                "ordering": "process_all",
                "waitPolicy": {"maxRetries": "{{retries}}", "intervalMinutes": 1, "onMissAction": "skip"},
                "atomicity": {},
                "options": {"delimiter": "tab", "nullValues": ["NA"], "quote": None},
            },
            "fields": [{"name": "id", "dataType": "bigint"}, {"name": "amt", "dataType": "text"}],
        },
        {"id": "clean", "kind": "transform", "input": "src", "ops": [{"type": "sort", "by": "id"}]},
        {
            "id": "check",
            "kind": "validate",
            "input": "clean",
            "rowLevel": [{"id": "positive", "field": "id", "rule": "gt:0", "onFail": "skip"}],
            "quarantine": {"table": "dlq.orders"},
        },
        {
            "id": "tgt",
            "kind": "target",
            "input": "check",
            "schema": "public.ds_orders",
            "loadMode": "upsert",
            "upsertKey": "id",
            "mapping": {"order_id": "id"},
            "preHook": {"type": "sql", "statement": "ANALYZE {table}"},
            "postHook": [{"type": "webhook", "url": "https://example.com/x", "secretRef": "webhookSecret"}],
        },
    ],
    "errorHandling": {"retry": {"maxAttempts": 3}, "maxErrorRate": 0.5},
}

published = jsonschema.Draft202012Validator(published_schema())
models_only = jsonschema.Draft202012Validator(document_schema())


def changed(path: str, value: Any) -> dict[str, Any]:
    """FULL with the value at a dotted path replaced."""
    document = copy.deepcopy(FULL)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = document
    for step in steps:
        place = place[step]
    place[last] = value
    return document


def test_it_is_a_schema_of_the_2020_12_dialect_with_an_id_and_words_for_people() -> None:
    schema = published_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:headrace:pipeline-ir:1.0"
    for name, each in schema["$defs"].items():
        assert each.get("title"), name
        assert each.get("description"), name


def test_every_member_of_a_choice_is_reported_by_a_constant() -> None:
    """So editors know which one is meant, complete it, and report errors inside it."""
    schema = published_schema()
    for union in (
        schema["properties"]["nodes"]["items"],
        schema["$defs"]["TransformNode"]["properties"]["ops"]["items"],
    ):
        tags = []
        for member in union["oneOf"]:
            properties = schema["$defs"][member["$ref"].removeprefix("#/$defs/")]["properties"]
            tags.append(tuple(properties.get(tag, {}).get("const") for tag in ("kind", "type", "provider")))
        assert len(set(tags)) == len(tags)
        assert (None, None, None) not in tags


def test_what_is_sound_passes() -> None:
    assert parse_ir(FULL).problems == []
    for document in (FULL, *DOCUMENTS):
        published.validate(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", "2.0"),
        ("colour", "blue"),
        ("metadata", {}),
        ("schedule.kind", "yearly"),
        ("schedule", {"kind": "interval", "minutes": 0}),
        ("nodes", []),
        ("nodes.0.kind", "sorce"),
        ("nodes.0.fields.0.dataType", "number"),
        ("nodes.1.ops", {}),
        ("nodes.1.ops.0.type", "sorted"),
        ("nodes.1.ops.0.colour", "blue"),
        ("nodes.1.ops.0", {"type": "cast", "field": "id"}),
        ("nodes.1.ops.0", {"type": "hash", "fields": ["id"], "salt": "in the clear"}),
        ("nodes.2.rowLevel.0.rule", "gtt:0"),
        ("nodes.2.rowLevel.0.rule", "gt"),
        ("nodes.2.rowLevel.0.rule", "email:x"),
        ("nodes.2.rowLevel.0.rule", "type:number"),
        ("nodes.2.rowLevel.0.onFail", "explode"),
        ("nodes.3.schema", "ds_orders; drop table x"),
        ("nodes.3.loadMode", "upset"),
        ("nodes.3.mapping", {"__row": "id"}),
        ("nodes.3.load_mode", "append"),
        ("nodes.3.backupBeforeLoad", "yes"),
        ("nodes.3.postHook", [{"type": "sql", "statement": "ANALYZE {table}"}] * 21),
        ("nodes.3.postHook.0.secretRef", "not a name"),
        ("errorHandling.retry.maxAttempts", "3"),
        ("errorHandling.maxErrorRate", 2),
    ],
)
def test_what_is_broken_passes_neither_schema_nor_parser(path: str, value: Any) -> None:
    document = changed(path, value)
    assert not published.is_valid(document)
    assert parse_ir(document).problems


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ordering", "newest"), ("patern", "*.csv"), ("waitPolicy", {"maxRetries": -1}), ("options", {"delimeter": ","})],
)
def test_the_settings_of_a_source_are_known(setting: str, value: Any) -> None:
    assert not published.is_valid(changed(f"nodes.0.config.{setting}", value))
    other = changed(f"nodes.0.config.{setting}", value)
    other["nodes"][0]["connector"] = "anything:else"
    published.validate(other)


Step = tuple[Any, ...]


@cache
def places(number: int) -> tuple[Step, ...]:
    """The paths of all values in a document."""
    found: list[Step] = []
    pending: list[tuple[Step, Any]] = [((), DOCUMENTS[number])]
    while pending:
        path, value = pending.pop()
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found.append((*path, key))
            if isinstance(inner, dict | list):
                pending.append(((*path, key), inner))
    return tuple(sorted(found, key=repr))


def at(document: Any, path: Step) -> Any:
    for step in path:
        document = document[step]
    return document


SCALARS = [None, True, False, 0, 1, 3.0, -1, 0.5, "", " ", "3", "true", "id", "gt:0", " not_null ", "in:a", "date:%d",
           "public.ds_x", "dlq.x", "desc", "left", "append", "integer", "é\n", "${credentials.salt}"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An example in which one to three values were replaced, taken out, wrapped, unwrapped or brought along."""
    number = draw(st.integers(0, len(DOCUMENTS) - 1))
    document = copy.deepcopy(DOCUMENTS[number])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(number)))
        try:
            holder = at(document, path[:-1])
            before = holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if not isinstance(holder, dict | list):
            continue  # a text took the place of a list
        match draw(st.sampled_from(("replace", "remove", "wrap", "unwrap", "name", "transplant", "add"))):
            case "replace":
                holder[path[-1]] = draw(st.sampled_from(SCALARS) | st.text(max_size=5) | st.integers() | st.floats())
            case "remove":
                del holder[path[-1]]
            case "wrap":
                holder[path[-1]] = [before]
            case "unwrap" if isinstance(before, list | dict) and before:
                holder[path[-1]] = next(iter(before.values() if isinstance(before, dict) else before))
            case "name" if isinstance(holder, dict):
                holder[draw(st.sampled_from(("load_mode", "as", "path", "null", "to", "__x")))] = before
            case "transplant" | "add":
                other = draw(st.integers(0, len(DOCUMENTS) - 1))
                donor = draw(st.sampled_from(places(other)))
                value = copy.deepcopy(at(DOCUMENTS[other], donor))
                if isinstance(holder, dict) and isinstance(donor[-1], str):
                    holder[donor[-1]] = value
                else:
                    holder[path[-1]] = value
    return document


@settings(max_examples=examples(400))
@given(mutated())
def test_whatever_shape_the_parser_takes_the_schema_takes(document: Any) -> None:
    try:
        PipelineIR.model_validate(document, by_alias=True, by_name=False)
    except ValidationError:
        event("refused")
        return
    event("taken")
    assert [f"{error.json_path}: {error.message}" for error in models_only.iter_errors(document)] == []
