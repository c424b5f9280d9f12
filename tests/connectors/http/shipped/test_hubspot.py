"""HubSpot: objects by the search API, beyond the number that one search gives, and again what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import source_for
from headrace.connectors.source import Incremental
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import Record, moment, records
from tests.connectors.http.shipped.service import Listing, Service, hubspot_pages, hubspot_search, said
from tests.connectors.reading import batches

OBJECTS = ("contacts", "companies", "deals", "tickets", "products", "line_items")
TOO_MANY = Failure(429, {}, b'{"status": "error", "policyName": "TEN_SECONDLY_ROLLING", "errorType": "RATE_LIMIT"}')


@pytest.fixture
def hubspot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service(("Authorization", "Bearer pat-abc123"), TOO_MANY)
    for name in OBJECTS:
        path = f"/crm/v3/objects/{name}/search"
        service.add(Listing(path, hubspot_search, 200, grows="updatedAt")).rows = changed(name, 700)
    service.add(Listing("/crm/v3/owners", hubspot_pages, 500, ("limit", "after"))).rows = records(
        "hubspot", "owners", 600
    )
    pipelines = records("hubspot", "deal_pipelines", 2)
    for name in ("deals", "tickets"):
        service.pages[f"/crm/v3/pipelines/{name}"] = lambda asked: said(200, {"results": pipelines})
    yield service
    service.close()


def changed(stream: str, count: int, *, begin: int = 1) -> list[Record]:
    """One a minute, of which every 70 have the same moment."""
    made = records("hubspot", stream, count, begin=begin)
    for number, each in enumerate(made, begin):
        each["updatedAt"] = moment(number - number % 70)
    return made


def source(service: Service, stream: str, **settings: object) -> Context:
    made = context("hubspot", service, stream, {"apiKey": "pat-abc123"}, contactProperties="email, vip_level")
    made.settings.update(settings)  # type: ignore[attr-defined]
    return made


def limited(service: Service, results: int) -> dict[str, object]:
    """A service that gives only so many results of one search, and the settings that know it."""
    service.results = results
    return {"cursor": {"field": "updatedAt", "format": "epoch_ms", "lookback": "PT10M", "restartAfter": results}}


@pytest.mark.parametrize("stream", ["contacts", *(pytest.param(s, marks=pytest.mark.slow) for s in OBJECTS)])
def test_objects_are_read_and_again_what_changed(hubspot: Service, stream: str) -> None:
    hubspot.throttle(4)
    first, position = read(source(hubspot, stream))
    assert [each["id"] for each in first] == [f"id_{n:06}" for n in range(1, 701)]
    if stream == "contacts":
        assert json.loads(first[0]["properties"]) == {"email": "x", "vip_level": "x"}
    hubspot.listings[f"/crm/v3/objects/{stream}/search"].rows += changed(stream, 100, begin=720)
    again, _ = read(source(hubspot, stream), position)
    assert [each["id"] for each in again] == ["id_000700", *(f"id_{n:06}" for n in range(720, 820))]


def test_a_search_begins_again_after_as_many_as_it_gives(hubspot: Service) -> None:
    found, _ = read(source(hubspot, "contacts", **limited(hubspot, 400)))
    assert [each["id"] for each in found] == [f"id_{n:06}" for n in range(1, 701)]
    with pytest.raises(SourceError, match="beyond the limit"):
        read(source(hubspot, "contacts", cursor={"field": "updatedAt", "format": "epoch_ms"}))


def test_a_run_that_was_broken_off_anywhere_is_continued(hubspot: Service) -> None:
    more = limited(hubspot, 200)

    def opened(position: object) -> list[tuple[list[str], object]]:
        made = source_for("hubspot", source(hubspot, "contacts", **more))
        assert isinstance(made, Incremental)
        made.begin_at({} if position is None else {"default": position})
        found = made.discover(max_partitions=1)
        [partition] = found.partitions
        return [
            (batch.frame["id"].to_list(), json.loads(json.dumps(batch.position)))
            for batch in batches(made, found, partition, batch_rows=90)
        ]

    whole = opened(None)
    assert len(whole) > 6
    for stop in range(len(whole)):
        before = [each for ids, _ in whole[: stop + 1] for each in ids]
        after = [each for ids, _ in opened(whole[stop][1]) for each in ids]
        if stop == len(whole) - 1:  # the run had ended: the next one looks ten minutes back
            assert set(after) <= set(before)
        else:
            assert before + after == [f"id_{n:06}" for n in range(1, 701)], stop


def test_too_many_objects_of_one_moment_are_reported(hubspot: Service) -> None:
    for each in hubspot.listings["/crm/v3/objects/deals/search"].rows:
        each["updatedAt"] = moment(1)
    with pytest.raises(SourceError, match="more than 200 records in a row have the same updatedAt"):
        read(source(hubspot, "deals", **limited(hubspot, 200)))


def test_an_expired_token_is_renewed(hubspot: Service) -> None:
    hubspot.key, hubspot.tokens = None, []
    login = {"clientId": "app", "clientSecret": "s3cret-of-client", "refreshToken": "r-1"}
    made = context("hubspot", hubspot, "owners", login)
    hubspot.token_path = "/oauth/v1/token"
    rows, _ = read(made)
    assert len(rows) == 600
    assert hubspot.asked[0].body.startswith("grant_type=refresh_token&refresh_token=r-1")


@pytest.mark.parametrize("stream", ["owners", pytest.param("deal_pipelines", marks=pytest.mark.slow)])
def test_lists_are_read(hubspot: Service, stream: str) -> None:
    assert len(read(source(hubspot, stream))[0]) == (600 if stream == "owners" else 2)
