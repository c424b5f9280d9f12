"""Every route x every role x {own, foreign, missing}: roles are enforced; foreign objects are answered as missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH
from headrace.api.requests.auth import READ
from headrace.catalog.security.api_keys import ROLES
from tests.api.conftest import Facade, error_of
from tests.api.contract.calls import CALLS, Call
from tests.api.contract.conftest import World, new_world
from tests.api.contract.openapi_document import document

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Operation:
    """A route in the OpenAPI document."""

    method: str
    path: str
    name: str
    roles: tuple[str, ...]

    def ask(self, client: TestClient, call: Call, world: World) -> httpx.Response:
        names = [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
        ids = {name: call.path.get(name) or world.ids[call.ids.get(name, name)] for name in names}
        body = None if call.body is None else call.body(world)
        files = None if call.files is None else call.files(world)
        return client.request(self.method, self.path.format(**ids), params=call.query(world), json=body, files=files)

    def names_an_object(self, call: Call, world: World) -> bool:
        """Whether the request is for one existing object, rather than a list or a new one."""
        if self.name == "get_shipped_connector":
            return False  # it comes with Headrace, for all tenants
        if "{" in self.path:
            return True
        body = {} if call.body is None or self.name in ("create_pipeline", "create_replication") else call.body(world)
        named = [value for value in (*call.query(world).values(), *body.values()) if isinstance(value, str)]
        return not set(world.ids.values()).isdisjoint(named)


def operations() -> Iterator[Operation]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if path.startswith(BASE_PATH):
                yield Operation(method.upper(), path, operation["operationId"], tuple(operation["x-roles"]))


OPERATIONS = {operation.name: operation for operation in operations()}
EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


@pytest.fixture(scope="module")
def shared(contract: Facade) -> World:
    return new_world(contract)


def normalised(response: httpx.Response, world: World) -> dict[str, Any]:
    """The error without the parts that differ: the request id and the requested ids."""
    text = json.dumps(error_of(response, 404) | {"requestId": None})
    for name, value in world.ids.items():
        text = text.replace(value, f"<{name}>")
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_operation_is_watched() -> None:
    assert set(OPERATIONS) == set(CALLS)
    assert len(OPERATIONS) >= 45


CONNECT = {"list_streams", "get_stream", "sample_rows"}
"""They read what is elsewhere, with the connector's credentials, as connection tests do."""


def test_only_reading_is_for_viewers_and_only_admins_see_keys_and_the_audit_log() -> None:
    for operation in OPERATIONS.values():
        if operation.path.startswith((f"{BASE_PATH}/api-keys", f"{BASE_PATH}/audit-logs")):
            assert operation.roles == ("admin",)
        elif operation.name in CONNECT:
            assert operation.roles == ("admin", "editor")
        elif operation.method == "GET" or operation.name in ("validate_ir", "check_ir", "plan_pipeline"):
            assert operation.roles == READ
        else:
            assert operation.roles == ("admin", "editor")


@EACH
def test_without_a_key_it_is_401_whatever_is_sent(contract: Facade, shared: World, operation: Operation) -> None:
    call = CALLS[operation.name]
    assert error_of(operation.ask(contract.anonymous, call, shared), 401)["code"] == "unauthorized"
    nonsense = contract.anonymous.request(operation.method, operation.path, content=b"{nonsense")
    assert error_of(nonsense, 401)["message"] == "An API key is needed (X-API-Key)"


@EACH
@pytest.mark.parametrize("role", ROLES)
def test_own_objects_are_for_the_roles_that_may(
    contract: Facade, shared: World, operation: Operation, role: str
) -> None:
    client = {"admin": contract.admin, "editor": contract.editor, "viewer": contract.viewer}[role]
    call = CALLS[operation.name]
    if role not in operation.roles:
        assert error_of(operation.ask(client, call, shared), 403)["code"] == "forbidden"
        nonsense = client.request(operation.method, operation.path, content=b"{nonsense")
        assert error_of(nonsense, 403)["code"] == "forbidden"
        return
    response = operation.ask(client, call, new_world(contract) if call.spends else shared)
    assert response.status_code == call.status, response.text


@EACH
def test_a_foreign_object_is_answered_exactly_as_a_missing_one(
    contract: Facade, shared: World, operation: Operation
) -> None:
    call = CALLS[operation.name]
    foreign = operation.ask(contract.foreign, call, shared)
    if not operation.names_an_object(call, shared):
        assert foreign.status_code in (call.status, 400)
        assert not any(value in foreign.text for value in shared.ids.values() if operation.name != "create_pipeline")
        return
    missing = shared.missing()
    unknown = operation.ask(contract.admin, call, missing)
    assert normalised(foreign, shared) == normalised(unknown, missing)
    # shared resources are the same for all tenants
    assert normalised(operation.ask(contract.foreign, call, missing), missing) == normalised(unknown, missing)


def test_what_a_foreigner_asked_for_is_still_there(contract: Facade) -> None:
    world = new_world(contract)
    for operation in OPERATIONS.values():
        operation.ask(contract.foreign, CALLS[operation.name], world)
    for operation in OPERATIONS.values():
        call = CALLS[operation.name]
        if operation.method == "GET":
            assert operation.ask(contract.admin, call, world).status_code == call.status


NOT_RECORDED = {"rehearse_requests", "plan_replication", "receive_hook"}
"""They change nothing of the catalog; records of a webhook are data."""


@pytest.mark.slow
def test_every_write_is_in_the_audit_log(contract: Facade) -> None:
    logs = f"{BASE_PATH}/audit-logs"
    for operation in OPERATIONS.values():
        if "viewer" in operation.roles or operation.method == "GET":
            continue
        call = CALLS[operation.name]
        response = operation.ask(contract.admin, call, new_world(contract))
        assert response.status_code == call.status, response.text
        newest = contract.admin.get(logs, params={"limit": 20}).json()["logs"]
        noted = response.headers["X-Request-ID"] in {entry["requestId"] for entry in newest}
        assert noted == (operation.name not in NOT_RECORDED), operation.name
    verified = contract.admin.get(f"{logs}/verify").json()
    assert verified["intact"]
