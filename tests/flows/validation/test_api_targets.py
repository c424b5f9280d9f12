"""Problems of targets that are APIs, found when the document is saved: all at once, at their places."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace.flows.validation.check import check_types
from headrace.flows.validation.document_schema import published_schema
from headrace.ir import parse_ir

RECORD = {"id": {"$field": "id"}}
SOURCE = {
    "id": "src",
    "kind": "source",
    "connector": "local_fs",
    "config": {"pattern": "a.csv"},
    "fields": [{"name": "id", "dataType": "bigint"}, {"name": "n", "dataType": "date"}],
}


def document(*between: dict[str, Any], **target: Any) -> dict[str, Any]:
    sending = {"id": "out", "kind": "target", "input": "src", "connector": "http", "config": {"record": RECORD}}
    nodes = [SOURCE, *between, {**sending, **target}]
    return {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}


def problems(given: dict[str, Any]) -> list[tuple[str, str]]:
    parsed = parse_ir(given)
    found = parsed.problems if parsed.ir is None else check_types(parsed.ir)
    return [(each.path, each.code) for each in found]


def accepted(given: dict[str, Any]) -> bool:
    return Draft202012Validator(published_schema()).is_valid(given)


def test_a_target_with_a_connector_has_no_table() -> None:
    assert problems(document()) == []
    assert accepted(document())
    assert problems(document(schema="public.ds_rows")) == [("nodes[1]", "bad_option")]
    table = document()
    del table["nodes"][1]["connector"], table["nodes"][1]["config"]
    assert problems(table) == [("nodes[1].schema", "missing_field")]
    assert not accepted(table)
    assert problems(document(connector="else"))[0][0] == "nodes[1].connector"


def test_it_reads_again_as_it_is_written() -> None:
    parsed = parse_ir(document()).ir
    assert parsed is not None
    assert parse_ir(parsed.model_dump(mode="json", exclude_none=True)).ir == parsed


def test_settings_of_tables_are_all_reported_at_once() -> None:
    found = problems(
        document(
            loadMode="replace",
            schemaContract="evolve",
            allowEmpty=True,
            backupBeforeLoad=True,
            watermarkColumn="id",
            preHook={"type": "sql", "statement": "ANALYZE public.x"},
            config={"record": {"a": {"$field": "__x"}, "b": {"$code": "x"}}, "batch": {"rows": 0}},
        )
    )
    assert {path for path, _ in found} >= {
        "nodes[1].loadMode",
        "nodes[1].schemaContract",
        "nodes[1].allowEmpty",
        "nodes[1].backupBeforeLoad",
        "nodes[1].watermarkColumn",
        "nodes[1].preHook",
        "nodes[1].config.batch.rows",
        "nodes[1].config.record.a.$field",
        "nodes[1].config.record.b.$code",
    }


@pytest.mark.parametrize("mode", ["truncate", "blue_green", "incremental_watermark", "cdc_mirror", "scd2"])
def test_other_load_modes_are_refused(mode: str) -> None:
    given = document(loadMode=mode, upsertKey="id", watermarkColumn="id")
    assert ("nodes[1].loadMode", "bad_option") in problems(given)


def test_deletes_are_refused() -> None:
    found = problems(document(loadMode="upsert", upsertKey="id", deletes={}))
    assert ("nodes[1].deletes", "bad_option") in found


def test_columns_are_checked_with_the_declared_ones() -> None:
    config = {"record": {"a": {"$field": "id"}, "b": {"$field": "nn"}}}
    assert problems(document(config=config)) == [("nodes[1].config", "required_column")]
    config["record"]["b"] = {"$field": "n", "type": "double"}
    assert problems(document(config=config)) == [("nodes[1].config", "impossible_cast")]
    assert problems(document(loadMode="upsert", upsertKey="n"))[0] == ("nodes[1].upsertKey", "unknown_column")
    assert problems(document(upsertKey="id")) == [("nodes[1].upsertKey", "bad_option")]


def test_a_dataset_rule_that_aborts_cannot_hold_rows_back() -> None:
    rules = {"rowCount": {"min": 1, "onFail": "abort"}}
    check = {"id": "check", "kind": "validate", "input": "src", "datasetLevel": rules}
    assert problems(document(check, input="check")) == [("nodes[2].input", "bad_option")]
    rules["rowCount"]["onFail"] = "warn"
    assert problems(document(check, input="check")) == []


def test_values_may_be_parameters() -> None:
    given = document(config={"record": RECORD, "path": "/{{place}}", "batch": {"rows": "{{rows}}"}})
    given["parameters"] = {"place": {"default": "x"}, "rows": {"default": 5}}
    assert accepted(given)
    assert problems(given) == []


def test_braze_is_checked_by_its_own_settings() -> None:
    config = {"objects": "events", "user": {"externalId": "id"}, "event": "seen", "time": "n"}
    assert problems(document(connector="braze", config=config)) == []
    assert problems(document(connector="braze", config={**config, "objects": "x"})) == [
        ("nodes[1].config.objects", "literal_error")
    ]
