"""Whole runs into tables, by each way to name a connector that comes with Headrace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.records import BEGIN, Record, records
from tests.connectors.http.shipped.service import Listing, Service, stripe_pages
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


@pytest.fixture
def stripe() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer sk_test_abc123"), Failure(429, {"Retry-After": "0"}))
    params = ("limit", "starting_after")
    listing = Listing("/v1/events", stripe_pages, 100, params, since="created[gte]", grows="created", newest_first=True)
    service.add(listing).rows = events(250)
    yield service
    service.close()


def events(count: int, *, begin: int = 1) -> list[Record]:
    made = records("stripe", "events", count, begin=begin)
    return [{**each, "created": BEGIN + number} for number, each in enumerate(made, begin)]


@pytest.fixture
def table(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_events (id text, created bigint, type text, data jsonb)")
    return database_url


def rows(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM public.ds_events").fetchone()
    assert found is not None
    return found[0], found[1]


def nodes(connector: str) -> list[dict[str, Any]]:
    return [
        {"id": "src", "kind": "source", "connector": connector, "config": {"endpoint": "events"}},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_events", "loadMode": "append"},
    ]


@pytest.mark.parametrize("connector", ["yaml:stripe", pytest.param("stripe", marks=pytest.mark.slow)])
def test_a_record_of_its_type_is_read_and_the_next_run_reads_what_is_new(
    stripe: Service, table: str, connector: str
) -> None:
    stripe.throttle(4)
    config = {"url": stripe.url, "insecureLogin": True}
    runs = Runner(Path("/nowhere"), table, {"apiKey": "sk_test_abc123"}, type="stripe", config=config)
    runs.run(nodes(connector))
    assert rows(table) == (250, 250)
    stripe.listings["/v1/events"].rows += events(30, begin=251)
    runs.run(nodes(connector))
    assert rows(table) == (280, 280)
    with psycopg.connect(table) as connection:
        found = connection.execute("SELECT created, data FROM public.ds_events WHERE id = 'id_000251'").fetchone()
    assert found == (BEGIN + 251, {"of": ["it", 1.5]})


def test_a_record_that_names_the_document_reads_with_it_and_sends_nothing_elsewhere(
    stripe: Service, table: str
) -> None:
    config: dict[str, Any] = {"url": stripe.url, "insecureLogin": True, "document": "stripe"}
    runs = Runner(Path("/nowhere"), table, {"token": "sk_test_abc123"}, type="rest_api", config=config)
    with pytest.raises(SourceError, match=r"The document's address is https://api\.stripe\.com"):
        runs.run(nodes("yaml:stripe"))
    assert stripe.asked == []
