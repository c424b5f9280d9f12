"""Rows as attributes, events and purchases of Braze's users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.braze.target import problems
from headrace.connectors.errors import TargetError
from tests.connectors.http.api_server import ApiServer, Failure
from tests.connectors.http.taking import Taking
from tests.connectors.http.target.sending import job_of, nodes, run, write
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

PATH = "/users/track"
ATTRIBUTES = {
    "objects": "attributes",
    "user": {"externalId": "id"},
    "attributes": {"first_name": {"$field": "name"}, "source": "shop"},
}
EVENTS = {
    "objects": "events",
    "user": {"userAlias": {"name": "id", "label": "shop"}},
    "event": {"$field": "name"},
    "time": "at",
    "properties": {"n": {"$field": "n", "type": "bigint"}},
}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    return Runner(tmp_path, database_url)


def braze(objects: str, api: ApiServer, **given: Any) -> Taking:
    """Takes 75 objects at once, with errors that have a `type`."""
    taking = Taking(most=75, records_of=lambda body: body[objects], status=201, **given).put(api, PATH)
    plain = api.pages[PATH]

    def page(asked: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = plain(asked)
        return (
            status,
            headers,
            body.replace(b'{"index"', b'{"input_array": "x", "index"').replace(b', "message": "bad', b', "type": "bad'),
        )

    api.pages[PATH] = page
    return taking


def sending(config: dict[str, Any], **node: Any) -> list[dict[str, Any]]:
    return nodes(config, connector="braze", **node)


def test_attributes_are_sent_75_at_a_time_and_only_changed_ones_again(api: ApiServer, runner: Runner) -> None:
    taking = braze("attributes", api)
    listed = sending(ATTRIBUTES, loadMode="upsert", upsertKey="id")
    write(runner.files, [(f"u{number}", f"n{number}") for number in range(200)])
    assert run(job_of(runner, api, listed, "braze"), runner).rows_out == 200
    assert [len(each) for each in taking.requests] == [75, 75, 50]
    assert taking.taken[0] == {"external_id": "u0", "first_name": "n0", "source": "shop"}
    write(runner.files, [(f"u{number}", f"n{number}" if number != 5 else None) for number in range(200)])
    totals = run(job_of(runner, api, listed, "braze"), runner)
    assert (totals.rows_out, totals.skipped) == (1, 199)
    assert taking.taken[200:] == [{"external_id": "u5", "first_name": None, "source": "shop"}]
    assert {each.headers["Authorization"] for each in api.asked} == {"Bearer t-123456"}


def test_events_with_rejected_ones_by_index(api: ApiServer, runner: Runner) -> None:
    taking = braze("events", api, bad=lambda record: "bad event name" if record["name"] == "n77" else None)
    write(
        runner.files,
        [(number, f"n{number}", "2024-05-06T07:08:09", number) for number in range(100)],
        header="id,name,at,n",
    )
    totals = run(job_of(runner, api, sending(EVENTS), "braze"), runner)
    assert (totals.rows_out, totals.failed) == (99, 1)
    assert taking.taken[3] == {
        "user_alias": {"alias_name": "3", "alias_label": "shop"},
        "name": "n3",
        "time": "2024-05-06T07:08:09.000000+00:00",
        "properties": {"n": 3},
    }
    assert runner.recorder.cells == [("out", 78, None, None, "bad event name")]


def test_purchases_have_exact_prices(api: ApiServer, runner: Runner) -> None:
    braze("purchases", api)
    config = {
        "objects": "purchases", "user": {"externalId": "id"}, "product": {"$field": "name"}, "currency": "EUR",
        "price": "price", "time": "at", "appId": "app", "updateExistingOnly": True,
    }  # fmt: skip
    write(runner.files, [(1, "p", "19.90", "2024-05-06"), (2, None, "1", "2024-05-06")], header="id,name,price,at")
    totals = run(job_of(runner, api, sending(config), "braze"), runner)
    assert (totals.rows_out, totals.failed) == (1, 1)
    assert '"price":19.90' in api.asked[0].body
    assert '"quantity":1,"time":"2024-05-06T00:00:00.000000+00:00","app_id":"app","_update_existing_only":true' in (
        api.asked[0].body
    )


def test_a_fatal_error_of_a_request_is_narrowed_to_its_objects(api: ApiServer, runner: Runner) -> None:
    taking = braze("attributes", api, whole=400, bad=lambda record: "fatal" if record["external_id"] == "u3" else None)
    write(runner.files, [(f"u{number}", "x") for number in range(10)])
    totals = run(job_of(runner, api, sending(ATTRIBUTES), "braze"), runner)
    assert (totals.rows_out, totals.failed, len(taking.taken)) == (9, 1, 9)


def test_events_after_a_lost_answer_may_be_twice_and_attributes_may_not(api: ApiServer, runner: Runner) -> None:
    braze("events", api)
    write(runner.files, [(1, "e", "2024-05-06", 1)], header="id,name,at,n")
    api.failures = [Failure(500)]
    run(job_of(runner, api, sending(EVENTS), "braze"), runner)
    assert any("may have them twice" in line for line in runner.recorder.lines)
    runner.recorder.lines.clear()
    braze("attributes", api)
    api.failures = [Failure(500)]
    run(job_of(runner, api, sending(ATTRIBUTES), "braze"), runner)
    assert not any("twice" in line for line in runner.recorder.lines)
    braze("events", api)
    api.failures = [Failure(500)]
    with pytest.raises(TargetError) as caught:
        run(job_of(runner, api, sending({**EVENTS, "onUnknown": "fail"}), "braze"), runner)
    assert caught.value.code == "outcome_unknown"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"user": {}}, "config.user"),
        ({"user": {"externalId": "a", "brazeId": "b"}}, "config.user"),
        ({"attributes": {}}, "config"),
        ({"event": "x"}, "config"),
        ({"attributes": {"a": {"$code": "1"}}}, "config.attributes.a.$field"),
        ({"batchRows": 76}, "config.batchRows"),
        ({"objects": "events"}, "config"),
    ],
)
def test_problems_are_found_when_it_is_saved(change: dict[str, Any], path: str) -> None:
    assert problems(ATTRIBUTES) == []
    assert problems({**ATTRIBUTES, **change})[0].path == path
