"""Shopify: every stream is read in pages, and again only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.shipped.connectors import rest_context
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import endpoint, moment, put, records
from tests.connectors.http.shipped.service import Listing, Service, said, shopify_pages

STREAMS = [each["id"] for each in shipped_documents()["shopify"]["endpoints"] if each["id"] != "locations"]
BUCKET = Failure(429, {"Retry-After": "0.0"}, b'{"errors":"Exceeded 2 calls per second for api client."}')


@pytest.fixture
def shop() -> Iterator[Service]:
    service = Service(("X-Shopify-Access-Token", "shpat_abc123"), BUCKET)
    for stream in STREAMS:
        described = endpoint("shopify", stream)
        grows = described.get("cursor", {}).get("field", "")
        params = ["limit", "page_info", *(["status"] if stream == "orders" else [])]
        params += ["location_ids"] if stream == "inventory_levels" else []
        since = f"{grows}_min" if grows else None
        listing = Listing(described["path"], shopify_pages, 250, params, described["records"], since=since, grows=grows)
        service.add(listing).rows = changed(stream, 520)
    service.pages["/locations.json"] = lambda asked: said(200, {"locations": records("shopify", "locations", 1)})
    yield service
    service.close()


def changed(stream: str, count: int, *, begin: int = 1) -> list[dict[str, Any]]:
    made = records("shopify", stream, count, begin=begin)
    if (grows := endpoint("shopify", stream).get("cursor", {}).get("field")) is not None:
        for number, each in enumerate(made, begin):
            put(each, grows, moment(number))
    return made


def source(service: Service, stream: str, **config: Any) -> Context:
    return context("shopify", service, stream, {"apiKey": "shpat_abc123"}, shop="my-shop", **config)


@pytest.mark.parametrize("stream", ["orders", *(pytest.param(s, marks=pytest.mark.slow) for s in STREAMS)])
def test_a_stream_is_read_and_again_what_changed(shop: Service, stream: str) -> None:
    shop.throttle(3)
    first, position = read(source(shop, stream))
    key = endpoint("shopify", stream)["key"]
    assert [tuple(each[k] for k in key) for each in first] == [(n,) * len(key) for n in range(1, 521)]
    shop.listings[endpoint("shopify", stream)["path"]].rows += changed(stream, 4, begin=521)
    again, _ = read(source(shop, stream), position)
    assert len(again) == (524 if position is None else 4)
    if stream == "orders":
        assert (str(first[0]["total_price"]), first[0]["id"]) == ("12.340000000", 1)


def test_the_address_is_the_shops() -> None:
    record = Connection("conn_1", "shopify", {"shop": "my-shop"}, {"apiKey": "shpat_abc123"})
    made = Context(record, Surroundings(FilesRoot(Path("/nowhere"))), {"endpoint": "orders"})
    config = rest_context("shopify", made).connection.config
    assert config["url"] == "https://my-shop.myshopify.com/admin/api/2026-04"
