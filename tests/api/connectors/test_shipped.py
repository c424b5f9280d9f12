"""Connectors that come with Headrace: their types, records, sources and documents in the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.api.conftest import IR, Facade, created, error_of
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.records import records
from tests.connectors.http.shipped.service import Listing, Service, stripe_pages

pytestmark = pytest.mark.postgres

SHIPPED = f"{BASE_PATH}/shipped-connectors"
DOCUMENTS = f"{BASE_PATH}/yaml-connectors"
CONNECTORS = f"{BASE_PATH}/connectors"


@pytest.fixture
def stripe() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer sk_test_abc123"), Failure(429))
    service.add(Listing("/v1/customers", stripe_pages, 100, ("limit", "starting_after"))).rows = records(
        "stripe", "customers", 3
    )
    yield service
    service.close()


@pytest.fixture
def looking(facade: Facade) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


def record(service: Service, **config: Any) -> dict[str, Any]:
    config = {"url": service.url, "insecureLogin": True, **config}
    return {"name": "Payments", "type": "stripe", "config": config, "authConfig": {"apiKey": "sk_test_abc123"}}


def reading(connector: str, connection: str, **config: Any) -> dict[str, Any]:
    node = {"id": "src", "kind": "source", "connector": connector, "connection": connection, "config": config}
    return {**IR, "nodes": [node, IR["nodes"][1]]}


def test_each_is_a_type_with_its_settings_and_credentials(facade: Facade) -> None:
    listed = {each["type"]: each for each in facade.viewer.get(f"{BASE_PATH}/connector-types").json()["data"]}
    for name in shipped_documents():
        assert (listed[name]["status"], listed[name]["testable"], listed[name]["source"]) == ("ready", True, name)
    assert listed["shopify"]["configSchema"]["required"] == ["shop"]
    salesforce = listed["salesforce"]["authConfigSchema"]
    assert {"clientId", "privateKey", "refreshToken", "token"} <= set(salesforce["properties"])
    assert salesforce["properties"]["privateKey"]["anyOf"][0]["writeOnly"]
    assert listed["salesforce"]["authMethods"] == ["oauth2", "key_pair", "token"]


def test_a_record_is_tested_and_its_streams_are_listed(looking: Facade, stripe: Service) -> None:
    made = created(looking.editor, CONNECTORS, record(stripe))
    assert "sk_test" not in str(made)
    tested = looking.editor.post(f"{CONNECTORS}/{made['id']}/test").json()
    assert (tested["ok"], tested["message"].partition(";")[0]) == (True, "3 records")
    streams = looking.editor.get(f"{CONNECTORS}/{made['id']}/streams").json()["data"]
    assert {"customers", "events", "invoices"} <= {each["name"] for each in streams}
    events = looking.editor.get(f"{CONNECTORS}/{made['id']}/stream", params={"name": "events"}).json()
    assert (events["key"], len(events["fields"]), "bigint" in str(events["fields"])) == (["id"], 11, True)
    assert [each.path for each in stripe.asked] == ["/v1/customers"]  # described columns need no request


@pytest.mark.parametrize("connector", ["stripe", "yaml:stripe"])
def test_a_source_names_an_endpoint_that_there_is(looking: Facade, stripe: Service, connector: str) -> None:
    created(looking.editor, CONNECTORS, record(stripe))
    for config, said in (({}, "'endpoint' is required"), ({"endpoint": "custmers"}, "no endpoint 'custmers'")):
        ir = reading(connector, "Payments", **config)
        answer = looking.editor.post(f"{BASE_PATH}/ir/validate", json={"ir": ir})
        assert said in answer.text, answer.text
    ir = reading(connector, "Payments", endpoint="customers")
    assert "endpoint" not in looking.editor.post(f"{BASE_PATH}/ir/validate", json={"ir": ir}).text


def test_a_document_is_read_by_a_rest_api_record_without_being_stored(looking: Facade, stripe: Service) -> None:
    config = {"url": "https://api.stripe.com", "auth": {"type": "bearer"}, "document": "stripe"}
    body = {"name": "by document", "type": "rest_api", "config": config, "authConfig": {"token": "t"}}
    created(looking.editor, CONNECTORS, body)
    other = {**body, "name": "elsewhere", "config": {**config, "url": stripe.url}}
    refused = error_of(looking.editor.post(CONNECTORS, json=other), 400)
    assert [each["code"] for each in refused["details"]] == ["changed_address"]
    versioned = {**body, "name": "v3", "config": {**config, "document": "stripe@3"}}
    assert error_of(looking.editor.post(CONNECTORS, json=versioned), 400)["details"][0]["code"] == "unknown_document"


def test_documents_are_listed_and_a_tenants_own_replaces_one(looking: Facade) -> None:
    listed = looking.viewer.get(SHIPPED).json()["data"]
    assert [each["id"] for each in listed] == sorted(shipped_documents())
    shown = looking.viewer.get(f"{SHIPPED}/shopify").json()
    assert (shown["document"]["id"], shown["variables"]["shop"], shown["replaced"]) == ("shopify", None, False)
    assert looking.viewer.get(f"{SHIPPED}/nothing").status_code == 404
    config = {"url": "https://api.stripe.com", "auth": {"type": "bearer"}, "document": "stripe"}
    body = {"name": "by document", "type": "rest_api", "config": config, "authConfig": {"token": "t"}}
    created(looking.editor, CONNECTORS, body)
    own = dict(looking.viewer.get(f"{SHIPPED}/stripe").json()["document"])
    own["url"] = "https://stripe.example"
    refused = error_of(looking.editor.post(DOCUMENTS, json=own), 400)  # the record above would send elsewhere
    assert refused["details"][0]["code"] == "confirmation_required"
    own["url"] = "https://api.stripe.com"
    created(looking.editor, DOCUMENTS, own)
    assert next(each for each in looking.viewer.get(SHIPPED).json()["data"] if each["id"] == "stripe")["replaced"]
