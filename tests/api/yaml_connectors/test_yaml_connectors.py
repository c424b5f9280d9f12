"""Connector documents over REST: versions, roles, tenants, problems with their places, and what uses them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from headrace.api.app import BASE_PATH
from headrace.api.yaml_connectors.examples import DOCUMENT, YAML
from tests.api.conftest import Facade, created, error_of
from tests.api.yaml_connectors.documents import connector, reading, shop, without_endpoint

pytestmark = pytest.mark.postgres

DOCUMENTS = f"{BASE_PATH}/yaml-connectors"
SHOP = f"{DOCUMENTS}/shop"
URL = "https://shop.example"
AS_YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
def stored(facade: Facade) -> dict[str, Any]:
    """The document `shop`, version 1."""
    return created(facade.editor, DOCUMENTS, shop(URL))


def used(facade: Facade, **config: Any) -> dict[str, Any]:
    """A connector of the document."""
    return created(facade.editor, f"{BASE_PATH}/connectors", connector(URL, **config))


def pipeline(facade: Facade, ir: dict[str, Any]) -> dict[str, Any]:
    return facade.pipeline("sales", ir=ir, schema={"name": "orders"})


def test_a_document_is_created_as_json_and_as_yaml_alike(facade: Facade) -> None:
    made = created(facade.editor, DOCUMENTS, DOCUMENT)
    assert (made["version"], made["live"], made["variables"]) == (1, True, {"owner": None})
    assert (made["secrets"], made["endpoints"]) == (["token"], ["repositories"])
    again = facade.editor.put(f"{DOCUMENTS}/github", content=YAML, headers=AS_YAML)
    assert (again.status_code, again.json()["version"], again.headers["ETag"]) == (200, 1, '"1"')
    assert again.json()["document"] == DOCUMENT == yaml.safe_load(YAML)
    error_of(facade.editor.post(DOCUMENTS, json=DOCUMENT), 409)
    [listed] = facade.viewer.get(DOCUMENTS).json()["data"]
    assert (listed["id"], listed["displayName"], listed["newestVersion"]) == ("github", "GitHub", 1)


def test_versions_are_kept_compared_and_published(facade: Facade, stored: dict[str, Any]) -> None:
    renamed = shop(URL, displayName="A shop")
    headers = {"If-Match": '"1"'}
    query = {"publish": "false", "comment": "another name"}
    second = facade.editor.put(SHOP, json=renamed, headers=headers, params=query)
    assert (second.status_code, second.json()["live"], second.headers["ETag"]) == (201, False, '"2"')
    outdated = facade.editor.put(SHOP, json=stored["document"], headers=headers)
    assert "newest version is 2" in error_of(outdated, 409)["message"]
    assert facade.viewer.get(SHOP).json()["version"] == 2
    assert facade.viewer.get(SHOP, params={"live": "true"}).json()["version"] == 1
    assert facade.viewer.get(DOCUMENTS).json()["data"][0]["displayName"] == "The shop"
    compared = facade.viewer.get(f"{SHOP}/diff", params={"from": 1, "to": 2}).json()
    assert compared["patch"] == [{"op": "replace", "path": "/displayName", "value": "A shop"}]
    assert facade.editor.post(f"{SHOP}/publish", json={"version": 2}).json()["live"]
    listed = facade.viewer.get(f"{SHOP}/versions").json()
    assert [(each["version"], each["live"], each["comment"]) for each in listed] == [
        (2, True, "another name"),
        (1, False, None),
    ]
    assert facade.viewer.get(f"{SHOP}/versions/1").json()["document"] == stored["document"]
    error_of(facade.viewer.get(f"{SHOP}/versions/3"), 404)
    entries = facade.admin.get(f"{BASE_PATH}/audit-logs").json()["logs"]
    assert {"yaml_connector", "yaml_connector_version"} <= {each["entityType"] for each in entries}


def test_all_problems_are_listed_with_their_places(facade: Facade) -> None:
    text = YAML.replace("type: link", "type: pages").replace('"1.0"', '"2.0"').replace("kind: connector", "kind: a")
    problems = error_of(facade.editor.post(DOCUMENTS, content=text, headers=AS_YAML), 400)["details"]
    assert [(each["path"], each["message"].partition(":")[0]) for each in problems] == [
        ("/kind", "line 1"),
        ("/version", "line 2"),
        ("/endpoints/0/pagination/type", "line 13"),
    ]
    params = {"a.b/c~d": "{{secrets.token}}"}
    content = {**DOCUMENT, "endpoints": [{"id": "x", "params": params}], "read": {"primary": "y"}}
    problems = error_of(facade.editor.post(DOCUMENTS, json=content), 400)["details"]
    assert [each["path"] for each in problems] == ["/endpoints/0/params/a.b~1c~0d", "/read/primary"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"a: [", "application/yaml", 400, "malformed_yaml"),
        (b"a: 1\na: 2", "application/yaml", 400, "malformed_yaml"),
        (b"a: 1\n---\nb: 1", "application/yaml", 400, "not_one_document"),
        (b"", "application/yaml", 400, "not_one_document"),
        (b"- a", "application/yaml", 400, "not_an_object"),
        (b"\xff", "application/yaml", 400, "malformed_yaml"),
        (b"{", "application/json", 400, "malformed_json"),
        (b'{"a": 1, "a": 2}', "application/json", 400, "duplicate_key"),
        (b"{}", "text/plain", 415, ""),
    ],
)
def test_what_is_no_document_is_refused(facade: Facade, body: bytes, kind: str, status: int, code: str) -> None:
    error = error_of(facade.editor.post(DOCUMENTS, content=body, headers={"Content-Type": kind}), status)
    assert [each["code"] for each in error["details"]] == ([code] if code else [])


def test_roles_and_tenants(facade: Facade, stored: dict[str, Any]) -> None:
    for client in (facade.viewer, facade.foreign, facade.anonymous):
        status = {facade.viewer: 403, facade.foreign: 404, facade.anonymous: 401}[client]
        error_of(client.put(SHOP, json=stored["document"]), status)
        error_of(client.delete(SHOP), status)
        error_of(client.post(f"{SHOP}/publish", json={"version": 1}), status)
    error_of(facade.foreign.get(SHOP), 404)
    assert facade.foreign.get(DOCUMENTS).json()["data"] == []
    assert created(facade.foreign, DOCUMENTS, shop(URL))["version"] == 1
    error_of(facade.editor.put(SHOP, json=shop(URL, id="other")), 400)


def test_a_used_document_is_not_deleted(facade: Facade, stored: dict[str, Any]) -> None:
    record = used(facade)
    made = pipeline(facade, reading(source="yaml:shop@1"))
    message = error_of(facade.editor.delete(SHOP), 409)["message"]
    assert "the connector 'the shop' and the pipeline 'sales'" in message
    facade.editor.delete(f"{BASE_PATH}/pipelines", params={"id": made["id"]})
    assert "pipeline" not in error_of(facade.editor.delete(SHOP), 409)["message"]
    assert facade.editor.delete(f"{BASE_PATH}/connectors", params={"id": record["id"]}).status_code == 204
    assert facade.editor.delete(SHOP).status_code == 204
    error_of(facade.editor.get(SHOP), 404)


@pytest.mark.parametrize(
    ("config", "path", "code"),
    [
        ({"document": "shopp"}, "config.document", "unknown_document"),
        ({"document": "shop@2"}, "config.document", "unknown_document"),
        ({"document": "Shop"}, "config.document", "string_pattern_mismatch"),
        ({"variables": {}}, "config.variables.what", "missing_field"),
        ({"variables": {"what": "x", "waht": "y"}}, "config.variables.waht", "unknown_variable"),
        ({"url": "https://other.example"}, "config.url", "changed_address"),
        ({"auth": {"type": "basic"}}, "config.auth", "changed_address"),
        ({"endpoints": {"a": {"path": "/a"}}}, "config", "bad_option"),
    ],
)
def test_a_connector_has_to_fit_its_document(
    facade: Facade, stored: dict[str, Any], config: dict[str, Any], path: str, code: str
) -> None:
    error = error_of(facade.editor.post(f"{BASE_PATH}/connectors", json=connector(URL, **config)), 400)
    assert (path, code) in [(each["path"], each["code"]) for each in error["details"]]


@pytest.mark.parametrize(
    ("ir", "path", "code"),
    [
        (reading(source="yaml:shopp"), "nodes[0].connection", "wrong_connection"),
        (reading(source="yaml:Shop"), "nodes[0].connector", "unknown_connector"),
        (reading(source="yaml:shop@7"), "nodes[0].connector", "unknown_document"),
        (reading("oders"), "nodes[0].config.endpoint", "unknown_endpoint"),
        (without_endpoint(), "nodes[0].config.endpoint", "missing_field"),
        (reading("oders", source="rest_api"), "nodes[0].config.endpoint", "unknown_endpoint"),
        (reading(connection="no shop"), "nodes[0].connection", "unknown_connection"),
    ],
)
def test_what_a_source_names_is_checked_when_it_is_saved(
    facade: Facade, stored: dict[str, Any], ir: dict[str, Any], path: str, code: str
) -> None:
    used(facade)
    found = facade.editor.post(f"{BASE_PATH}/ir/validate", json={"ir": ir}).json()["issues"]
    assert (path, code) in [(each["path"], each["code"]) for each in found]


def test_a_version_that_would_break_its_followers_has_to_be_confirmed(facade: Facade, stored: dict[str, Any]) -> None:
    used(facade)
    pipeline(facade, reading())
    without = shop(URL, endpoints=shop(URL)["endpoints"][1:])
    [problem] = error_of(facade.editor.put(SHOP, json=without), 400)["details"]
    assert problem["code"] == "confirmation_required"
    assert "'src' of the pipeline 'sales'" in problem["message"]
    [problem] = error_of(facade.editor.put(SHOP, json=shop("https://else.example")), 400)["details"]
    assert "The connector 'the shop' would not fit" in problem["message"]
    assert facade.editor.get(SHOP).json()["version"] == 1
    assert facade.editor.put(SHOP, json=without, params={"confirm": "true"}).json()["live"]


def test_what_names_a_version_is_not_broken_by_another_one(facade: Facade, stored: dict[str, Any]) -> None:
    used(facade, document="shop@1")
    pipeline(facade, reading())
    assert facade.editor.put(SHOP, json=shop("https://else.example")).json()["live"]


def test_the_numbers_of_documents_and_versions_are_limited(facade: Facade, stored: dict[str, Any]) -> None:
    services = facade.app.state.services
    limits = {"max_yaml_connectors": 1, "max_yaml_connector_versions": 1}
    before = services.settings.__dict__.copy()
    services.settings.__dict__.update(limits)
    try:
        assert "MAX_YAML_CONNECTORS" in error_of(facade.editor.post(DOCUMENTS, json=DOCUMENT), 409)["message"]
        refused = error_of(facade.editor.put(SHOP, json=shop(URL, displayName="x")), 409)
        assert "MAX_YAML_CONNECTOR_VERSIONS" in refused["message"]
    finally:
        services.settings.__dict__.update(before)


def test_a_source_without_a_connection_reads_through_the_connector_of_its_pipeline(
    facade: Facade, stored: dict[str, Any]
) -> None:
    record = used(facade)
    schema = created(facade.editor, f"{BASE_PATH}/schemas", {"name": "orders", "displayName": "Orders"})
    files = created(facade.editor, f"{BASE_PATH}/connectors", {"name": "files", "type": "local_fs"})
    source, target = reading()["nodes"]
    ir = {**reading(), "nodes": [{name: each for name, each in source.items() if name != "connection"}, target]}
    body = {"name": "sales", "schemaId": schema["id"], "irVersion": "1.0", "ir": ir}
    refused = error_of(facade.editor.post(f"{BASE_PATH}/pipelines", json=body | {"connectorId": files["id"]}), 400)
    assert [(each["path"], each["code"]) for each in refused["details"]] == [("nodes[0].connector", "wrong_connection")]
    created(facade.editor, f"{BASE_PATH}/pipelines", body | {"connectorId": record["id"]})
    without = shop(URL, endpoints=shop(URL)["endpoints"][1:])
    assert (
        "'src' of the pipeline 'sales'" in error_of(facade.editor.put(SHOP, json=without), 400)["details"][0]["message"]
    )
