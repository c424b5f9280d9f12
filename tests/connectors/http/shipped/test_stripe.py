"""Stripe: every stream is read in pages, and again only what is new."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import BEGIN, DAY, records
from tests.connectors.http.shipped.service import Listing, Service, stripe_pages

STREAMS = [each["id"] for each in shipped_documents()["stripe"]["endpoints"]]
RECENT = ("charges", "payment_intents", "refunds", "invoices", "disputes", "payouts")
FIXED = ("balance_transactions", "events")
TOO_MANY = Failure(
    429,
    {"Stripe-Rate-Limited-Reason": "global-rate", "Retry-After": "0"},
    b'{"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"}}',
)


@pytest.fixture
def stripe() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer sk_test_abc123"), TOO_MANY)
    for stream in STREAMS:
        params = ["limit", "starting_after", *(["status"] if stream == "subscriptions" else [])]
        since = "created[gte]" if stream in (*RECENT, *FIXED) else None
        listing = Listing(f"/v1/{stream}", stripe_pages, 100, params, since=since, grows="created", newest_first=True)
        service.add(listing).rows = created(stream, 230)
    yield service
    service.close()


def created(stream: str, count: int, *, begin: int = 1) -> list[dict[str, Any]]:
    """One object an hour."""
    made = records("stripe", stream, count, begin=begin)
    return [{**each, "created": BEGIN + number * 3600} for number, each in enumerate(made, begin)]


def source(service: Service, stream: str, key: str = "sk_test_abc123") -> Context:
    return context("stripe", service, stream, {"apiKey": key})


@pytest.mark.parametrize("stream", ["events", *(pytest.param(s, marks=pytest.mark.slow) for s in STREAMS)])
def test_a_stream_is_read_and_again_what_is_new(stripe: Service, stream: str) -> None:
    stripe.throttle(4)
    first, position = read(source(stripe, stream))
    assert [each["id"] for each in first] == [f"id_{n:06}" for n in range(230, 0, -1)]
    assert {each.headers["Stripe-Version"] for each in stripe.asked} == {"2026-10-28.endive"}
    stripe.listings[f"/v1/{stream}"].rows += created(stream, 20, begin=231)
    again, _ = read(source(stripe, stream), position)
    ids = sorted(int(each["id"][3:]) for each in again)
    if stream in FIXED:
        assert ids == list(range(231, 251))
    elif stream in RECENT:
        assert ids == list(range(1, 251))  # all of them are of the last 30 days
        assert stripe.asked[-1].query["created[gte]"] == str(BEGIN + 230 * 3600 - 30 * DAY)
    else:
        assert ids == list(range(1, 251))


def test_values_are_as_the_api_has_them(stripe: Service) -> None:
    stripe.listings["/v1/prices"].rows = [
        {**created("prices", 1)[0], "unit_amount_decimal": "0.123456789012", "unit_amount": None}
    ]
    [price], _ = read(source(stripe, "prices"))
    assert (str(price["unit_amount_decimal"]), price["unit_amount"]) == ("0.123456789012", None)
    assert price["recurring"] == '{"of": ["it", 1.5]}'


def test_a_wrong_key_is_refused_and_not_shown(stripe: Service) -> None:
    with pytest.raises(SourceError) as refused:
        read(source(stripe, "events", "sk_test_wrong"))
    assert refused.value.code == "login_refused"
    assert "sk_test_wrong" not in refused.value.message


def test_another_answer_than_documented_is_reported(stripe: Service) -> None:
    products = stripe.listings["/v1/products"]
    products.rows, products.grows = [{"product": "p", "live": True}], ""
    with pytest.raises(SourceError, match="no record has any of the columns") as drift:
        read(source(stripe, "products"))
    assert drift.value.code == "drift"
