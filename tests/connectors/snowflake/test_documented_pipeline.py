"""The contract's own example, over REST: "Daily customer data sync from Snowflake", as the page's request makes it.

Its nodes name neither a table nor what is renamed: the table that is named as the schema is read, and nothing is
renamed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.api.contract import documented
from tests.conftest import RunningStack, started_stack
from tests.connectors.snowflake.double import CREDENTIALS, Double
from tests.rest import Api

pytestmark = [pytest.mark.stack, pytest.mark.own_stack, pytest.mark.slow]

FIELDS = [
    {"name": "id", "dataType": "bigint"},
    {"name": "name", "dataType": "text"},
    {"name": "balance", "dataType": "decimal", "precision": 38, "scale": 2},
]
ROWS = 12_345


@pytest.fixture(scope="module")
def own_stack() -> Iterator[RunningStack]:
    """One whose operator lets connectors dial this machine, where the double is."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.1/32"]') as running:
        yield running


def body_of(command: str) -> dict[str, Any]:
    """What a curl command sends."""
    words = shlex.split(command.replace("\\\n", " "))
    body: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return body


def test_the_pipeline_of_the_page_loads(own_stack: RunningStack, account: Double) -> None:
    account.control(chunkRows=1500)
    account.make(
        "CREATE TABLE customers AS SELECT seq4() + 1 AS id, 'Customer ' || (seq4() + 1) AS name, "
        f"((seq4() + 1) / 100)::NUMBER(38,2) AS balance FROM TABLE(GENERATOR(ROWCOUNT => {ROWS}))"
    )
    api = Api(own_stack, None)
    shown = documented.CONNECTORS["data"][0]
    there = {
        "type": shown["type"],
        "config": shown["config"] | account.config,
        "authMethod": "basic",
        "authConfig": CREDENTIALS,
    }
    tested = api.post("/connectors/test", json=there)
    assert tested.status_code == 200, tested.text
    assert "1 table can be seen" in tested.text, tested.text
    described = {"name": f"{shown['name']} {api.name}", "description": shown["description"]}
    connector = api.make("/connectors", there | described)
    schema = api.make("/schemas", {"name": "customers", "displayName": "Customers", "fields": FIELDS})

    body = body_of(documented.CREATE_PIPELINE)
    made = api.make("/pipelines", body | {"connectorId": connector["id"], "schemaId": schema["id"]})
    assert made["issues"] == []
    assert made["connector"]["type"] == "snowflake"
    assert made["executionConfig"] == {"batchSize": 5000, "parallelism": 4}
    api.pipeline = made["id"]

    progress = api.run()
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", ROWS, ROWS), progress
    with psycopg.connect(own_stack.database_url) as connection:
        found = connection.execute(
            "SELECT count(*), count(DISTINCT id), sum(id), sum(balance), max(name) FILTER (WHERE id = 7) "
            f"FROM public.{schema['tableName']}".encode()
        ).fetchone()
    total = ROWS * (ROWS + 1) // 2
    assert found is not None
    assert found[:2] == (ROWS, ROWS)
    assert (int(found[2]), int(found[3] * 100), found[4]) == (total, total, "Customer 7")
    # one query for the run, whatever its parallelism
    read = [each for each in account.info()["statements"] if '."CUSTOMERS"' in each and not each.startswith("SHOW")]
    assert len(read) == 1
