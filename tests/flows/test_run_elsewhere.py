"""A flow run into the database of a connector, with the record's login from the vault: loaded, killed, retried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RunningStack, started_stack
from tests.rest import Api, eventually
from tests.second_database import LOGIN, SecondDatabase, network_postgres, second

__all__ = ["network_postgres", "second"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

ROWS = 60_000
CHECK = {
    "id": "check",
    "kind": "validate",
    "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:59990", "onFail": "quarantine"}],
    "quarantine": {"table": "dlq.orders"},
}


@pytest.fixture
def own_stack() -> Iterator[RunningStack]:
    """A stack whose operator lets connectors reach loopback."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8"]') as running:
        yield running


def test_a_cancelled_run_is_continued_there(own_stack: RunningStack, second: SecondDatabase) -> None:
    second.alter("CREATE TABLE public.orders (amount integer, note text)")
    text = "amount,note\n" + "".join(f"{number},a note about {number}\n" for number in range(ROWS))
    api = Api(own_stack, text, nodes=[{**CHECK}], execution={"parallelism": 2, "batchSize": 100})
    record = {"name": "shop", "type": "postgresql", "config": second.config, "authConfig": LOGIN}
    api.make("/connectors", record)
    api.body["ir"]["nodes"][-1] |= {"connection": "shop", "schema": "public.orders"}
    api.create()

    run_id = api.start()
    eventually(lambda: api.progress(run_id)["processedRows"] > 2_000 or None)
    api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel").raise_for_status()
    assert api.finished(run_id)["status"] == "failed", api.detail(run_id)
    (loaded,) = second.rows("SELECT count(*) FROM public.orders")[0]
    assert 0 < loaded < ROWS

    retried = api.make(f"/pipelines/{api.pipeline}/runs/{run_id}/retry", {})
    assert retried["metadata"]["resumeFromRow"] >= loaded
    assert api.finished(retried["id"])["status"] == "completed_with_errors", api.detail(retried["id"])
    assert second.rows("SELECT count(*), count(DISTINCT amount) FROM public.orders") == [(59_990, 59_990)]
    assert api.rows("SELECT count(*) FROM _headrace.ledger WHERE target_node = 'tgt'") == [(0,)]
    dlq = api.get(f"/pipelines/{api.pipeline}/runs/{retried['id']}/dlq").json()
    assert dlq["count"] == 10
    planned = api.post(f"/pipelines/{api.pipeline}/plan", json={}).json()
    assert "sql" in planned, planned
    assert f"in the database {second.name} on 127.0.0.1" in planned["sql"][0]["sql"]
    shown = str([planned, api.detail(run_id), api.detail(retried["id"])])
    assert LOGIN["password"] not in shown
