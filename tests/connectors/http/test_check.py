"""A connection test fetches one page like a run; discovery infers types from the first records."""

from __future__ import annotations

import pytest

from headrace.api.connectors.secrets import split_secrets
from headrace.connectors.errors import SourceError
from headrace.connectors.http.connector import REST_API
from headrace.connectors.http.settings import problems
from headrace.ir.schema import Field
from tests.connectors.http.api_server import ApiServer, Failure, numbered
from tests.connectors.http.opening import PAGINATION, context, paged, source
from tests.connectors.reading import rows


def test_one_page_is_fetched_and_shown(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)
    found = REST_API.tried(context(api, test=paged("token")))
    assert found.message == "100 records; there is another page"
    assert found.sample["records"] == numbered(5)
    assert len(api.asked) == 1


def test_without_more_the_address_itself_is_asked(api: ApiServer) -> None:
    api.records["orders"] = numbered(2)
    found = REST_API.tried(context(api, url=f"{api.url}/whole/orders"))
    assert (found.message, found.sample["records"]) == ("2 records", numbered(2))
    assert "nothing at its address" in REST_API.tried(context(api)).message
    api.key = ("Authorization", "x")
    with pytest.raises(SourceError) as refused:
        REST_API.tried(context(api))
    assert refused.value.code == "login_refused"


def test_discovery_lists_endpoints_and_the_types_of_what_they_give(api: ApiServer) -> None:
    api.records |= {"orders": numbered(250), "people": ['{"id": "007", "age": 3}', '{"id": "8", "age": 4.5}']}
    endpoints = {"orders": paged("token"), "people": paged("token", "people")}
    asked = context(api, endpoints=endpoints)
    assert [each.name for each in REST_API.listed(asked)] == ["orders", "people"]
    orders = REST_API.described(asked, "orders").fields or ()
    assert [(each.name, each.data_type) for each in orders] == [
        ("id", "integer"),
        ("name", "text"),
        ("amount", "text"),
        ("tags", "json"),
        ("at", "timestamptz"),
    ]
    people = REST_API.described(asked, "people").fields or ()
    assert [(each.name, each.data_type) for each in people] == [("id", "text"), ("age", "double")]


def test_declared_fields_win(api: ApiServer) -> None:
    api.records["orders"] = numbered(3)
    fields = (Field("amount", "decimal", precision=30, scale=18), Field("id", "text"))
    found = source(api, paged("token"), fields=fields)
    seen = found.discover(max_partitions=1)
    [batch] = found.read(seen.partitions[0], seen.schema)
    assert [str(each) for each in batch.frame["amount"]][1] == "2.100000000000000002"
    assert batch.frame["id"].to_list() == ["1", "2", "3"]


def test_a_declared_field_that_no_record_has_is_reported(api: ApiServer) -> None:
    api.records["orders"] = numbered(3)
    found = source(api, paged("token"), fields=(Field("id", "integer"), Field("nmae", "text")))
    assert any("nmae" in note and "name" in note for note in found.discover(max_partitions=1).notes)
    with pytest.raises(SourceError, match="nmae"):
        source(api, paged("token"), fields=(Field("nmae", "text"),)).discover(max_partitions=1)


def test_a_login_is_not_sent_over_http_unless_it_may(api: ApiServer) -> None:
    with pytest.raises(SourceError) as refused:
        source(api, paged("token"), credentials={"token": "t-123456"}, insecureLogin=False)
    assert refused.value.code == "insecure"


def test_a_node_names_an_endpoint_of_the_connector(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)
    endpoints = {"orders": paged("token", key=["id"])}
    assert len(rows(source(api, {"endpoint": "orders", "maxPages": 5}, endpoints=endpoints))) == 250
    with pytest.raises(SourceError, match="more than 2 pages"):
        rows(source(api, {"endpoint": "orders", "maxPages": 2}, endpoints=endpoints))
    with pytest.raises(SourceError, match="did you mean 'orders'"):
        source(api, {"endpoint": "order"}, endpoints=endpoints)
    assert problems({"endpoint": "orders", "params": {"since": "{cursor}"}}) == []


def test_no_setting_is_taken_for_a_credential() -> None:
    """What looks like one is moved to the credentials when a connector is saved."""
    config = {"endpoints": {way: paged(way) for way in PAGINATION}, "test": paged("token")}
    assert split_secrets(config) == (config, {})


def test_a_test_does_not_wait_for_an_api_that_asks_to(api: ApiServer) -> None:
    """It has seconds, and says what a run would wait for."""
    api.failures = [Failure(429, {"Retry-After": "30"})]
    with pytest.raises(SourceError, match="answered 429") as refused:
        REST_API.tried(context(api, test=paged("token")))
    assert (refused.value.code, len(api.asked)) == ("rate_limited", 1)
    assert "A test waits for at most 3 s" in str(refused.value.hint)
