"""Values that a document hides never appear in logs, errors or stored rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.flows.dry_run.preview import preview
from headrace.flows.runtime.errors import RunFailed
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

SECRETS = ["078-05-1120", "219-09-9999", "457-55-5462", "not a number", "ann@example.com", "bob@example.com"]
ROWS = f"""id,ssn,mail,qty
1,{SECRETS[0]},{SECRETS[4]},1
2,{SECRETS[1]},{SECRETS[5]},2
3,{SECRETS[2]},{SECRETS[4]}
x,{SECRETS[3]},{SECRETS[5]},4
5,{SECRETS[0]},{SECRETS[4]},-5
6,{SECRETS[2]},{SECRETS[5]},6
"""


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    (tmp_path / "people.csv").write_text(ROWS)
    return Runner(tmp_path, database_url, {"saltPeople": "a salt of sixteen or more"})


def document(
    ops: list[dict[str, Any]], rules: list[dict[str, Any]] | None = None, early: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """src → [early] → clean → [check] → tgt; quarantine tables wherever there can be one."""
    fields = [("id", "integer"), ("ssn", "text"), ("mail", "text"), ("qty", "integer")]
    nodes: list[dict[str, Any]] = [
        {
            "id": "src",
            "kind": "source",
            "connector": "local_fs",
            "config": {"path": "people.csv"},
            "fields": [{"name": name, "dataType": kind} for name, kind in fields],
        }
    ]
    for node_id, checks in (("early", early), ("clean", None), ("check", rules)):
        before = nodes[-1]["id"]
        if node_id == "clean":
            nodes.append({"id": node_id, "kind": "transform", "input": before, "ops": ops})
        elif checks:
            kept = {"table": f"dlq.{node_id}"}
            nodes.append({"id": node_id, "kind": "validate", "input": before, "rowLevel": checks, "quarantine": kept})
    nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": "public.people"})
    return nodes


HIDE: list[dict[str, Any]] = [
    {"type": "rename", "from": "ssn", "to": "tax"},
    {"type": "hash", "fields": ["tax"], "salt": "${credentials.saltPeople}"},
    {"type": "mask_pii", "field": "mail", "strategy": "email"},
]


def execute(runner: Runner, *statements: str) -> None:
    with psycopg.connect(runner.url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


def fetch(runner: Runner, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(runner.url) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def in_the_clear(*shown: object) -> list[str]:
    text = json.dumps(shown, default=str)
    return [secret for secret in SECRETS if secret in text]


def test_errors_and_quarantined_rows_hide_the_columns_an_op_touches(runner: Runner) -> None:
    execute(runner, "CREATE TABLE people (id int PRIMARY KEY, tax text, mail text, qty int)")
    rules = [
        {"id": "long", "field": "tax", "rule": "max_length:10"},
        {"id": "few", "field": "qty", "rule": "gt:0", "onFail": "warn"},
    ]
    early = [
        {"id": "known", "field": "ssn", "rule": "regex:^[^2]"},
        {"id": "ours", "field": "mail", "rule": "starts_with:bob", "onFail": "warn"},
    ]
    runner.run(document(HIDE, rules, early))
    reported = {(node, row, column): value for node, row, column, value, _ in runner.recorder.cells}
    assert reported == {
        ("src", 3, None): "***",
        ("src", 4, "id"): "x",
        ("early", 2, "ssn"): "***",
        ("early", 1, "mail"): "***",
        ("early", 5, "mail"): "***",
        ("check", 1, "tax"): "***",
        ("check", 5, "tax"): "***",
        ("check", 5, "qty"): "-5",
        ("check", 6, "tax"): "***",
    }
    kept = fetch(
        runner,
        'SELECT node_id, row_number, "row" FROM dlq.early UNION ALL '
        'SELECT node_id, row_number, "row" FROM dlq."check" ORDER BY row_number',
    )
    assert kept == [
        ("check", 1, {"id": 1, "ssn": "***", "mail": "***", "qty": 1}),
        ("early", 2, {"id": 2, "ssn": "***", "mail": "***", "qty": 2}),
        ("check", 5, {"id": 5, "ssn": "***", "mail": "***", "qty": -5}),
        ("check", 6, {"id": 6, "ssn": "***", "mail": "***", "qty": 6}),
    ]
    assert not in_the_clear(runner.recorder.cells, runner.recorder.lines, kept)


def test_a_value_that_fails_in_the_step_before_the_op_is_hidden_too(runner: Runner) -> None:
    execute(runner, "CREATE TABLE people (id int, ssn text, mail text)")
    ops = [
        {"type": "cast", "field": "ssn", "to": "integer"},
        {"type": "expression", "field": "n", "expression": "CAST(mail AS int)"},
        *HIDE[2:],
        {"type": "mask_pii", "field": "ssn", "strategy": "null"},
    ]
    runner.run(document(ops))
    assert {(node, row, value) for node, row, column, value, _ in runner.recorder.cells if column == "ssn"} == {
        ("clean", row, "***") for row in (1, 2, 5, 6)
    }
    # An expression that cannot be computed: the engine's own words would repeat the value.
    execute(runner, "ALTER TABLE people ADD n int")
    runner.run(document([ops[1], *HIDE[2:]]))
    assert {error for node, *_, error in runner.recorder.cells if node == "clean"} == {"Cannot be computed"}
    assert not in_the_clear(runner.recorder.cells)


def test_what_the_database_refuses_is_reported_without_values(runner: Runner) -> None:
    execute(
        runner,
        "CREATE TABLE people (id int, tax text UNIQUE, mail text CHECK (mail NOT LIKE 'b%'), copy text, qty int)",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new.qty = 1 THEN RAISE EXCEPTION 'not %', new.copy; END IF; RETURN new; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION no()",
    )
    # The copy is made before the mask: the table has it in the clear, the errors do not.
    copy = {"type": "expression", "field": "copy", "expression": "mail || '!'"}
    runner.run(document([copy, *HIDE]))
    reported = {
        (row, column, value, error) for node, row, column, value, error in runner.recorder.cells if node == "tgt"
    }
    assert reported == {
        (2, "mail", "***", 'Value violates check constraint "people_mail_check"'),
        (6, "mail", "***", 'Value violates check constraint "people_mail_check"'),
        (1, None, None, "Refused by a trigger"),
        (5, "tax", "***", 'Duplicate value violates unique constraint "people_tax_key"'),
    }
    assert not in_the_clear(runner.recorder.cells)


def test_the_reason_of_a_stopped_run_is_reported_without_the_value(runner: Runner) -> None:
    execute(runner, "CREATE TABLE people (id int, tax text, mail text)")
    early = [{"id": "known", "field": "ssn", "rule": "starts_with:9", "onFail": "abort"}]
    with pytest.raises(RunFailed, match=r"row 1, ssn = '\*\*\*'") as stopped:
        runner.run(document(HIDE, early=early))
    assert not in_the_clear(str(stopped.value), runner.recorder.cells)


def test_previews_report_errors_as_a_run_would(runner: Runner) -> None:
    execute(runner, "CREATE TABLE people (id int, tax varchar(3), mail text)")
    early = [{"id": "known", "field": "ssn", "rule": "starts_with:9"}]
    rules = [{"id": "short", "field": "mail", "rule": "max_length:1", "onFail": "warn"}]
    nodes = preview(runner.job(document(HIDE, rules, early)), rows=50)
    errors = {(node.node, error.row, error.column, error.value) for node in nodes for error in node.errors}
    assert {("src", 3, None, "***"), ("early", 1, "ssn", "***")} <= errors
    assert not in_the_clear(sorted(map(str, errors)))


def test_values_that_nobody_hides_are_reported_in_the_clear(runner: Runner) -> None:
    execute(runner, "CREATE TABLE people (id int, ssn int, mail text)")
    runner.run(document([{"type": "drop", "fields": ["qty"]}]))
    assert {value for node, _, column, value, _ in runner.recorder.cells if column == "ssn"} == set(SECRETS[:3])
