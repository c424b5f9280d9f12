"""Rows that are sent to an API: values, batches, rejected records, limits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import TargetError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.client import Attempts
from headrace.flows.runtime.errors import PlanFailed
from tests.connectors.http.api_server import ApiServer, Failure, waited
from tests.connectors.http.taking import Taking
from tests.connectors.http.target.sending import PATH, RECORD, config, job_of, nodes, run, write
from tests.connectors.stores.places import LOOPBACK
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    return Runner(tmp_path, database_url)


def people(count: int) -> list[tuple[Any, ...]]:
    return [(number, f"n{number}") for number in range(1, count + 1)]


def test_rows_arrive_once_in_batches_and_are_counted(api: ApiServer, runner: Runner) -> None:
    taking = Taking(most=10).put(api, PATH)
    write(runner.files, people(95))
    totals = run(job_of(runner, api, nodes(config())), runner)
    assert (totals.rows_in, totals.rows_out, totals.failed, totals.skipped) == (95, 95, 0, 0)
    assert taking.taken == [{"id": number, "name": f"n{number}"} for number in range(1, 96)]
    assert [len(each) for each in taking.requests] == [10] * 9 + [5]
    assert {each.headers["Authorization"] for each in api.asked} == {"Bearer t-123456"}
    with psycopg.connect(runner.url) as connection:
        left = connection.execute("SELECT count(*) FROM _headrace.sent_requests").fetchone()
        counted = connection.execute("SELECT sum(rows_loaded)::int FROM _headrace.ledger").fetchone()
    assert (left, counted) == ((0,), (95,))


def test_values_keep_their_digits_and_notation(api: ApiServer, runner: Runner) -> None:
    api.pages[PATH] = lambda asked: (201, {}, b"")
    write(
        runner.files,
        [
            (
                '"a ""q"" \u2028"',
                "12345678901234567890.123456789",
                "2024-01-02T03:04:05.000006+02:00",
                '"{""a"": 1.10}"',
                1,
            )
        ],
        header="name,amount,at,more,flag",
    )
    record = {
        "name": {"$field": "name"},
        "n": {
            "amount": {"$field": "amount", "type": "decimal"},
            "text": {"$field": "amount", "type": "decimal", "as": "text"},
        },
        "at": {"$field": "at", "type": "timestamptz"},
        "more": {"$field": "more", "type": "json"},
        "list": [{"$field": "flag", "type": "boolean"}, "constant", None, {}],
    }
    run(job_of(runner, api, nodes(config(record=record, records="data.items", body={"source": {"v": 1.5}}))), runner)
    assert api.asked[0].body == (
        '{"source":{"v": 1.5},"data":{"items":[{"name":"a \\"q\\" \u2028","n":{"amount":12345678901234567890.123456789,'
        '"text":"12345678901234567890.123456789"},"at":"2024-01-02T01:04:05.000006+00:00","more":{"a": 1.10},'
        '"list":[true,"constant",null,{}]}]}}'
    )


def test_nulls_are_sent_omitted_or_rejected(api: ApiServer, runner: Runner) -> None:
    api.pages[PATH] = lambda asked: (201, {}, b"")
    write(runner.files, [(1, None), (None, "x")])
    name = {"$field": "name"}
    record = {"id": {"$field": "id", "nulls": "reject"}, "a": name, "b": {**name, "nulls": "omit"}}
    totals = run(job_of(runner, api, nodes(config(record=record, records="", format="jsonl"))), runner)
    assert api.asked[0].body == '{"id":"1","a":null}\n'
    assert (totals.rows_out, totals.failed) == (1, 1)
    assert runner.recorder.cells == [("out", 2, "id", None, "The record needs a value")]


def test_a_value_of_another_type_is_an_error_row(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, PATH)
    write(runner.files, [(1, "a"), ("x", "b"), (3, "c")])
    totals = run(job_of(runner, api, nodes(config())), runner)
    assert (totals.rows_out, totals.failed, len(taking.taken)) == (2, 1, 2)
    assert runner.recorder.cells[0][:4] == ("src", 2, "id", "x")


def test_rejected_records_are_error_rows_with_the_message(api: ApiServer, runner: Runner) -> None:
    taking = Taking(bad=lambda record: "bad t-123456" if record["id"] % 10 == 3 else None).put(api, PATH)
    write(runner.files, people(50))
    totals = run(job_of(runner, api, nodes(config())), runner)
    assert (totals.rows_out, totals.failed) == (45, 5)
    assert len(taking.taken) == 45
    assert [(node, row) for node, row, *_ in runner.recorder.cells] == [("out", row) for row in (3, 13, 23, 33, 43)]
    assert {error for *_, error in runner.recorder.cells} == {"bad ***"}


@pytest.mark.parametrize("independent", [True, False])
def test_a_refused_request_is_halved_only_if_records_are_independent(
    api: ApiServer, runner: Runner, *, independent: bool
) -> None:
    taking = Taking(whole=422, bad=lambda record: "no" if record["id"] == 14 else None).put(api, PATH)
    write(runner.files, people(30))
    totals = run(job_of(runner, api, nodes(config(independent=independent))), runner)
    failed = [14] if independent else [*range(11, 21)]
    assert [row for _, row, *_ in runner.recorder.cells] == failed
    assert Counter(each["id"] for each in taking.taken) == Counter({*range(1, 31)} - {*failed})
    assert (totals.rows_out, totals.failed) == (30 - len(failed), len(failed))
    assert {error for *_, error in runner.recorder.cells} == {"The API answered 422: no"}


def test_a_storm_of_429_delays_and_doubles_nothing(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, PATH)
    api.failures = [Failure(429, {"Retry-After": "0.01"}) for _ in range(30)]
    write(runner.files, people(40))
    totals = run(job_of(runner, api, nodes(config(onUnknown="fail"))), runner)
    assert (totals.rows_out, len(taking.taken), len(api.asked)) == (40, 40, 34)


def test_the_rate_limit_of_the_config_and_of_the_headers_is_kept(api: ApiServer, tmp_path: Path) -> None:
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}
    api.pages[PATH] = lambda asked: (200, used_up if len(api.asked) == 3 else {}, b"")
    connection = Connection("api", "rest_api", {"url": api.url, "requestsPerSecond": 50})
    context = Context(connection, Surroundings(FilesRoot(tmp_path), LOOPBACK), config(requestsPerSecond=0.5))
    target = API_TARGETS["http"].target(context)
    waits, target.sleep = waited()
    for _ in range(4):
        target.send(PATH, ["{}"], "id", Attempts())
    target.close()
    assert [round(each) for each in waits] == [2, 4, 40]


@pytest.mark.parametrize(("status", "code"), [(401, "login_refused"), (403, "access_refused"), (404, "not_found")])
def test_a_refusal_of_the_login_or_the_address_ends_the_run(
    api: ApiServer, runner: Runner, status: int, code: str
) -> None:
    api.pages[PATH] = lambda asked: (status, {}, b'{"message": "t-123456 may not"}')
    write(runner.files, people(20))
    with pytest.raises(TargetError) as caught:
        run(job_of(runner, api, nodes(config())), runner)
    assert caught.value.code == code
    assert "t-123456" not in str(caught.value)
    assert len(api.asked) == 1
    with psycopg.connect(runner.url) as connection:  # it is known that nothing was taken
        assert connection.execute("SELECT count(*) FROM _headrace.sent_requests").fetchone() == (0,)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"errors": [{"index": 99, "message": "m"}]}', "unplaced_reject"),
        ('{"errors": [{"message": "m"}]}', "unplaced_reject"),
        ('{"errors": 1}', "drift"),
        ("<html>", "bad_page"),
    ],
)
def test_an_answer_that_cannot_be_read_loses_no_row(api: ApiServer, runner: Runner, body: str, code: str) -> None:
    api.pages[PATH] = lambda asked: (200, {}, body.encode())
    write(runner.files, people(5))
    with pytest.raises(TargetError) as caught:
        run(job_of(runner, api, nodes(config())), runner)
    assert caught.value.code == code
    with psycopg.connect(runner.url) as connection:
        assert connection.execute("SELECT state FROM _headrace.sent_requests").fetchall() == [("sending",)]


def test_a_redirect_is_not_followed(api: ApiServer, runner: Runner) -> None:
    api.pages[PATH] = lambda asked: (302, {"Location": f"{api.url}/else"}, b"")
    write(runner.files, people(5))
    with pytest.raises(TargetError, match="redirects elsewhere"):
        run(job_of(runner, api, nodes(config())), runner)
    assert len(api.asked) == 1


def test_an_accepting_status_with_a_refusal_in_the_body(api: ApiServer, runner: Runner) -> None:
    api.pages[PATH] = lambda asked: (200, {}, b'{"ok": false, "error": "closed"}')
    write(runner.files, people(5))
    totals = run(job_of(runner, api, nodes(config(ok="ok"))), runner)
    assert (totals.rows_out, totals.failed) == (0, 5)
    assert runner.recorder.cells[0][-1] == "The API answered 200: closed"


def test_requests_have_at_most_the_bytes_of_the_batch(api: ApiServer, runner: Runner) -> None:
    taking = Taking(most=1000).put(api, PATH)
    write(runner.files, [(number, "x" * (80 if number != 7 else 2000)) for number in range(1, 41)])
    totals = run(job_of(runner, api, nodes(config(batch={"rows": 1000, "bytes": 1000}))), runner)
    assert (totals.rows_out, totals.failed, len(taking.taken)) == (39, 1, 39)
    assert max(len(each.body) for each in api.asked) <= 1000
    assert len(api.asked) == 5
    assert runner.recorder.cells[0][:3] == ("out", 7, None)


def test_only_changed_records_are_sent_by_upsert(api: ApiServer, runner: Runner) -> None:
    taking = Taking(bad=lambda record: "no" if record["name"] == "bad" else None).put(api, PATH)
    listed = nodes(config(), loadMode="upsert", upsertKey="id")
    write(runner.files, [(1, "a"), (2, "b"), (3, "bad"), (1, "last")])
    totals = run(job_of(runner, api, listed), runner)
    assert (totals.rows_out, totals.skipped, totals.failed) == (2, 1, 1)
    assert taking.taken == [{"id": 2, "name": "b"}, {"id": 1, "name": "last"}]
    write(runner.files, [(1, "last"), (2, "changed"), (3, "bad"), (4, "new"), (None, "x")])
    totals = run(job_of(runner, api, listed), runner)
    assert (totals.rows_out, totals.skipped, totals.failed) == (2, 1, 2)
    assert taking.taken[2:] == [{"id": 2, "name": "changed"}, {"id": 4, "name": "new"}]


def test_one_record_per_request(api: ApiServer, runner: Runner) -> None:
    api.pages[PATH] = lambda asked: (201, {}, b"")
    write(runner.files, people(3))
    sending = {"path": PATH, "method": "PUT", "record": RECORD, "format": "object", "batch": {"rows": 1}}
    assert run(job_of(runner, api, nodes(sending)), runner).rows_out == 3
    assert [(each.method, json.loads(each.body)["id"]) for each in api.asked] == [("PUT", 1), ("PUT", 2), ("PUT", 3)]


def test_each_record_may_have_a_path_of_its_own(api: ApiServer, runner: Runner) -> None:
    """A retry, and `upsert`, tell records with the same body and other paths apart."""
    for name in ("7", "a%20b%2Fc", "8"):
        Taking(records_of=lambda body: [body]).put(api, f"/people/{name}")
    path = {"path": "/people/{field.id}", "format": "object", "records": "", "batch": {"rows": 1}, "method": "PUT"}
    record = {"name": {"$field": "name"}}
    write(runner.files, [(7, "x"), ("a b/c", "x"), ("..", "x"), (None, "x"), (8, "x")])
    sending = nodes(config(**path, record=record), loadMode="upsert", upsertKey="name")
    totals = run(job_of(runner, api, nodes(config(**path, record=record))), runner)
    assert (totals.rows_out, totals.failed) == (3, 2)
    assert [each.url for each in api.asked] == ["/people/7", "/people/a%20b%2Fc", "/people/8"]
    assert {each.body for each in api.asked} == {'{"name":"x"}'}
    write(runner.files, [(7, "x")])
    assert run(job_of(runner, api, sending), runner).rows_out == 1
    assert run(job_of(runner, api, sending), runner).skipped == 1
    write(runner.files, [(8, "x")])
    assert run(job_of(runner, api, sending), runner).rows_out == 1


def test_a_column_that_the_data_lack_is_found_when_planning(api: ApiServer, runner: Runner) -> None:
    write(runner.files, people(3))
    with pytest.raises(PlanFailed, match="nmae"):
        run(job_of(runner, api, nodes(config(record={"a": {"$field": "nmae"}}))), runner)
    assert api.asked == []
