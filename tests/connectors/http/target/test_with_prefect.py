"""Rows are sent to an API on the real stack: waits are shown in Prefect, failed rows run again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import RunningStack, started_stack
from tests.connectors.http.api_server import ApiServer, Failure
from tests.connectors.http.taking import Taking
from tests.connectors.http.target.sending import PATH, config
from tests.rest import Api, eventually

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def dialling_stack() -> Iterator[RunningStack]:
    """A stack whose operator allows loopback."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8", "::1/128"]') as stack:
        yield stack


def test_a_limited_api_is_waited_for_and_failed_rows_run_again(dialling_stack: RunningStack, api: ApiServer) -> None:
    taking = Taking(bad=lambda record: "no" if record["amount"] == 7 else None).put(api, PATH)
    api.failures = [Failure(429, {"Retry-After": "12"})]
    text = "amount,note\n" + "".join(f"{number},n{number}\n" for number in range(1, 31))
    with closing(Api(dialling_stack, text)) as client:
        record = {"name": "CRM", "type": "rest_api", "config": {"url": api.url, "insecureLogin": True}}
        client.make("/connectors", {**record, "authConfig": {"token": "t-very-secret"}})
        sending = {"id": "tgt", "kind": "target", "input": "src", "connector": "http", "connection": "CRM"}
        template = {"amount": {"$field": "amount"}, "note": {"$field": "note"}}
        client.body["ir"]["nodes"][-1] = {**sending, "config": config(record=template)}
        client.create()
        run_id = client.start()

        def waiting() -> str | None:
            flow_run = dialling_stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
            said = str(flow_run["state"]["message"] or "")
            return said if said.startswith("Waiting: POST ") else None

        said = eventually(waiting)
        assert "the API answered 429: slow down; the next request is at " in said
        assert "t-very-secret" not in said
        done = client.finished(run_id)
        assert (done["status"], done["rowsOut"], done["failedRows"]) == ("completed_with_errors", 29, 1), done
        assert any("the API answered 429" in line["message"] for line in done["log"])
        found: dict[str, Any] = client.get(f"/pipelines/{client.pipeline}/runs/{run_id}/errors").json()
        [error] = found["errors"]
        assert (error["node"], error["row"], error["error"]) == ("tgt", 7, "no")
        taking.bad = lambda record: None
        again = client.make(f"/pipelines/{client.pipeline}/runs/{run_id}/retry", {})
        replay = client.finished(again["id"])
        assert (replay["status"], replay["rowsOut"]) == ("completed", 1), replay
    assert sorted(each["amount"] for each in taking.taken) == [*range(1, 31)]
