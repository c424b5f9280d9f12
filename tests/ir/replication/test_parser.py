"""Every problem of a replication at once, each with its place, its code and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace.ir.replication import ReplicationIR, parse_replication
from headrace.ir.replication.json_schema import replication_schema

LEAST: dict[str, Any] = {
    "kind": "replication",
    "version": "1.0",
    "id": "shop",
    "metadata": {"name": "shop"},
    "connection": "shop database",
    "sources": {"include": ["sales.*"]},
}
MOST: dict[str, Any] = {
    **LEAST,
    "$schema": "https://example.org/replication.schema.json",
    "sources": {"include": "sales.*", "exclude": ["sales.tmp_*"]},
    "defaults": {
        "loadMode": "auto",
        "cursor": "updated_at",
        "schemaContract": "evolve",
        "target": "{replication}_{schema}_{table}",
        "executionConfig": {"batchSize": 1000, "parallelism": 2},
        "errorHandling": {"maxErrorRows": 0},
    },
    "overrides": [
        {"tables": "sales.log", "loadMode": "append", "cursor": {"column": "id", "lag": "PT5M", "key": []}},
        {"tables": ["sales.o*", "sales.p*"], "cursor": None, "key": ["a", "b"], "config": {"columns": ["a", "b"]}},
    ],
    "schedule": {"kind": "interval", "minutes": 15},
    "parallelism": 8,
    "newTables": "fail",
    "onTableFailure": "stop",
}


def parsed(document: dict[str, Any]) -> ReplicationIR:
    found = parse_replication(document)
    assert found.problems == []
    assert found.document is not None
    return found.document


@pytest.mark.parametrize("document", [LEAST, MOST])
def test_what_is_valid_has_no_problem_and_is_valid_by_the_json_schema(document: dict[str, Any]) -> None:
    parsed(document)
    Draft202012Validator(replication_schema()).validate(document)


def test_all_problems_come_at_once_with_place_code_and_remedy() -> None:
    wrong = {
        **LEAST,
        "sources": {"include": ["a.*", "a.*"], "exlude": []},
        "defaults": {"target": "{shema}_x", "loadMode": "upser", "config": {"table": "t", "cursor": {}}},
        "overrides": [
            {"tables": "a.b", "cursor": {"colum": "x"}},
            {"tables": ["x"], "key": ["a", "a"]},
            {"tables": "y"},
        ],
        "parallelism": "4",
        "newTables": "drop",
    }
    assert {(each.path, each.code, each.hint) for each in parse_replication(wrong).problems} == {
        ("sources.exlude", "unknown_field", "did you mean 'exclude'?"),
        ("sources.include[1]", "duplicate", "remove one"),
        ("defaults.target", "unknown_placeholder", "did you mean 'schema'?"),
        (
            "defaults.loadMode",
            "invalid_value",
            "one of: 'auto', 'append', 'upsert', 'replace', 'truncate', 'blue_green', 'scd2' or 'cdc_mirror'",
        ),
        ("defaults.config.table", "not_here", "use sources.include"),
        ("defaults.config.cursor", "not_here", "use defaults.cursor"),
        ("overrides[0].cursor.column", "missing_field", "add 'column'"),
        ("overrides[0].cursor.colum", "unknown_field", "did you mean 'column'?"),
        ("overrides[1].key[1]", "duplicate", "remove one"),
        ("overrides[2]", "overrides_nothing", "name what is to be different"),
        ("parallelism", "int_type", ""),
        ("newTables", "invalid_value", "one of: 'follow', 'ignore' or 'fail'"),
    }


@pytest.mark.parametrize("odd", [None, [], "x", 3, {}, {"kind": "replication", "sources": 3, "overrides": {"a": 1}}])
def test_nothing_that_is_sent_is_an_exception(odd: object) -> None:
    found = parse_replication(odd)
    assert found.document is None
    assert found.problems


@pytest.mark.parametrize("template", ["{schema", "schema}", "{}", "{{schema}}", "{a}{schema}"])
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    [problem] = parse_replication({**LEAST, "defaults": {"target": template}}).problems
    assert problem.path == "defaults.target"


def test_overrides_add_to_each_other_and_to_the_defaults_in_order() -> None:
    document = parsed(
        {
            **LEAST,
            "defaults": {"cursor": "updated_at", "loadMode": "upsert"},
            "overrides": [
                {"tables": "sales.*", "target": "x_{table}"},
                {"tables": "sales.log", "loadMode": "append", "cursor": None},
                {"tables": ["sales.l*"], "loadMode": "replace"},
            ],
        }
    )
    log, orders, other = (document.settings_of(name) for name in ("sales.log", "sales.orders", "other.t"))
    assert (log.settings.load_mode, log.settings.cursor, log.settings.target) == ("replace", None, "x_{table}")
    assert log.own == {"target", "load_mode", "cursor"}
    assert orders.settings.cursor is not None
    assert (orders.settings.load_mode, orders.settings.cursor.column, orders.own) == (
        "upsert",
        "updated_at",
        {"target"},
    )
    assert (other.settings.target, other.own) == ("{schema}_{table}", set())


def test_what_is_excluded_is_not_copied() -> None:
    sources = parsed(MOST).sources
    assert [sources.has(name) for name in ("sales.orders", "sales.tmp_1", "other.orders")] == [True, False, False]
