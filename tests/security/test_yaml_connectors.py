"""Connector documents: another tenant's are not found, huge ones are refused, and no document diverts a credential,
leaves the connector's address or shows a secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.http.definition.build import document_problems
from tests.api.conftest import Facade, created, error_of, facade, facade_roles, facade_url, running_facade
from tests.api.yaml_connectors.documents import connector, reading, shop
from tests.connectors.http.api_server import ApiServer, numbered

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]

pytestmark = pytest.mark.postgres

DOCUMENTS = f"{BASE_PATH}/yaml-connectors"
CONNECTORS = f"{BASE_PATH}/connectors"
AS_YAML = {"Content-Type": "application/yaml"}
URL = "https://shop.example"
SECRET = "t-very-secret"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.records = {"orders": numbered(3), "pens": numbered(2)}
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ApiServer]:
    """Another server: another port is another origin."""
    server = ApiServer()
    server.records = {"orders": numbered(3), "pens": numbered(2)}
    yield server
    server.close()


@pytest.fixture
def loopback(facade: Facade) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


def test_another_tenants_document_is_used_by_nothing(facade: Facade) -> None:
    created(facade.foreign, DOCUMENTS, shop(URL))
    refused = error_of(facade.editor.post(CONNECTORS, json=connector(URL)), 400)
    assert [each["code"] for each in refused["details"]] == ["unknown_document"]
    issues = facade.editor.post(f"{BASE_PATH}/ir/validate", json={"ir": reading()}).json()["issues"]
    assert "unknown_document" in [each["code"] for each in issues]
    assert facade.editor.delete(f"{DOCUMENTS}/shop").status_code == 404


def test_the_document_of_the_own_tenant_is_read_where_two_have_one_of_that_id(loopback: Facade, api: ApiServer) -> None:
    theirs = shop(api.url, endpoints=[{"id": "orders", "path": "/whole/theirs"}])
    created(loopback.foreign, DOCUMENTS, theirs)
    created(loopback.editor, DOCUMENTS, shop(api.url))
    made = created(loopback.editor, CONNECTORS, connector(api.url))
    assert loopback.editor.post(f"{CONNECTORS}/{made['id']}/test").json()["ok"]
    assert [each.path for each in api.asked] == ["/whole/orders"]


def test_a_published_document_sends_the_stored_credential_nowhere_else(
    loopback: Facade, api: ApiServer, other: ApiServer
) -> None:
    created(loopback.editor, DOCUMENTS, shop(api.url))
    made = created(loopback.editor, CONNECTORS, connector(api.url))
    path, confirm = f"{DOCUMENTS}/shop", {"confirm": "true"}
    elsewhere: list[dict[str, Any]] = [
        shop(other.url),
        shop("{{at}}", variables={"what": {}, "at": {"default": other.url}}),
        shop(api.url, endpoints=[{"id": "orders", "url": f"{other.url}/whole/orders"}], url=None),
    ]
    for document in elsewhere:
        body = {name: value for name, value in document.items() if value is not None}
        assert loopback.editor.put(path, json=body, params=confirm).status_code == 201
        result = loopback.editor.post(f"{CONNECTORS}/{made['id']}/test").json()
        assert not result["ok"]
    above = shop(api.url, endpoints=[{"id": "orders", "url": f"{other.url}/whole/orders"}])
    assert loopback.editor.put(path, json=above, params=confirm).status_code == 400
    assert other.asked == []


def test_an_address_inside_is_not_dialled(facade: Facade, api: ApiServer) -> None:
    created(facade.editor, DOCUMENTS, shop(api.url))
    made = created(facade.editor, CONNECTORS, connector(api.url))
    result = facade.editor.post(f"{CONNECTORS}/{made['id']}/test").json()
    assert (result["ok"], api.asked) == (False, [])


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BOMB.encode(), 400, "malformed_yaml"),
        (b"a: &a [*a]", 400, "malformed_yaml"),
        (b"a: !!python/object/apply:os.system ['true']", 400, "malformed_yaml"),
        (b"[" * 10_000, 400, "malformed_yaml"),
        (b"a: &a '" + b"x" * 900_000 + b"'\nb: *a\n", 413, ""),
        (b"a: '" + b"x" * 1_000_000 + b"'", 413, ""),
        (b'a: "\\0"', 400, "unstorable_text"),
    ],
    ids=["bomb", "itself", "tag", "deep", "aliases", "huge", "nul"],
)
def test_a_hostile_text_is_refused(facade: Facade, body: bytes, status: int, code: str) -> None:
    error = error_of(facade.editor.post(DOCUMENTS, content=body, headers=AS_YAML), status)
    assert [each["code"] for each in error["details"]] == ([code] if code else [])


def test_long_values_in_many_places_do_not_fill_memory() -> None:
    params = {f"p{n}": "{{v}}" * 400 for n in range(400)}
    document = shop(
        URL, variables={"v": {"default": "x" * 2_000}}, endpoints=[{"id": "a", "path": "/", "params": params}]
    )
    assert [each.code for each in document_problems(document)] == ["too_large"]
    longer = shop(URL, variables={"v": {"default": "x" * 2_001}})
    assert "string_too_long" in [each.code for each in document_problems(longer)]


@pytest.mark.parametrize(
    "changes",
    [
        {"auth": [{"type": "bearer", "tokenRef": SECRET}]},
        {"auth": [{"type": "bearer", "tokenRef": {"a": SECRET}}]},
        {"auth": [{"type": "bearer", "token": SECRET}]},
        {"url": f"https://me:{SECRET}@shop.example"},
        {"endpoints": [{"id": "orders", "url": f"https://me:{SECRET}@shop.example/x"}]},
    ],
)
def test_a_secret_that_was_written_out_is_refused_and_not_repeated(
    facade: Facade, changes: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = facade.editor.post(DOCUMENTS, json=shop(URL, **changes))
    error_of(answer, 400)
    logged = caplog.text + "".join(capfd.readouterr())
    assert SECRET not in answer.text + logged


def test_a_connectors_secret_is_in_no_answer_and_no_log(
    loopback: Facade, api: ApiServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    api.pages["/whole/orders"] = lambda asked: (400, {}, asked.headers["Authorization"].encode())
    created(loopback.editor, DOCUMENTS, shop(api.url))
    made = created(loopback.editor, CONNECTORS, connector(api.url))
    created(loopback.editor, f"{BASE_PATH}/schemas", {"name": "orders", "displayName": "Orders"})
    answers = [
        loopback.editor.post(f"{CONNECTORS}/{made['id']}/test"),
        loopback.editor.get(f"{CONNECTORS}/{made['id']}/stream", params={"name": "orders"}),
        loopback.editor.get(f"{DOCUMENTS}/shop"),
        loopback.admin.get(f"{BASE_PATH}/audit-logs"),
    ]
    assert api.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    logged = caplog.text + "".join(capfd.readouterr())
    assert SECRET not in "".join(each.text for each in answers) + logged


def test_a_variable_holds_no_secret(facade: Facade) -> None:
    document = shop(URL, variables={"token": {}}, endpoints=[{"id": "orders", "params": {"t": "{{token}}"}}])
    created(facade.editor, DOCUMENTS, document)
    refused = error_of(facade.editor.post(CONNECTORS, json=connector(URL, variables={"token": SECRET})), 400)
    assert [each["code"] for each in refused["details"]] == ["secret_in_variable"]
