"""Authentication and authorization, by route, role and tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH, create_app
from headrace.catalog.bootstrap import issue_key
from tests.api.conftest import PEPPER, Facade, LocalOrchestrator, error_of, settings_for

pytestmark = pytest.mark.postgres


def operations(facade: Facade) -> Iterator[tuple[str, str, list[str]]]:
    for path, methods in facade.app.openapi()["paths"].items():
        for method, operation in methods.items():
            if path.startswith(BASE_PATH):
                yield method.upper(), path, operation["x-roles"]


def test_every_route_of_the_api_is_guarded(facade: Facade) -> None:
    found = list(operations(facade))
    assert len(found) >= 15
    assert all(roles for _, _, roles in found)


def test_without_a_key_every_route_is_401_whatever_the_body(facade: Facade) -> None:
    for method, path, _ in operations(facade):
        response = facade.anonymous.request(method, path, content=b"{nonsense")
        assert error_of(response, 401)["code"] == "unauthorized", path
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_role_that_is_not_allowed_is_403_whatever_the_body(facade: Facade) -> None:
    clients = {"admin": facade.admin, "editor": facade.editor, "viewer": facade.viewer}
    for method, path, roles in operations(facade):
        for role, client in clients.items():
            status = client.request(method, path, content=b"{nonsense").status_code
            assert (status == 403) == (role not in roles), (method, path, role)


def test_lists_of_another_tenant_are_empty(facade: Facade) -> None:
    facade.pipeline()
    for resource in ("pipelines", "connectors", "schemas"):
        assert facade.foreign.get(f"{BASE_PATH}/{resource}").json()["data"] == []


def test_a_pipeline_cannot_be_made_of_anothers_parts(facade: Facade) -> None:
    theirs = facade.pipeline()
    body = {"name": "x", "connectorId": theirs["connectorId"], "schemaId": theirs["schemaId"]}
    error = error_of(facade.foreign.post(f"{BASE_PATH}/pipelines", json=body), 400)
    assert [detail["path"] for detail in error["details"]] == ["connectorId", "schemaId"]


def test_a_bearer_token_is_as_good_as_the_header(facade: Facade) -> None:
    key = facade.viewer.headers["X-API-Key"]
    assert facade.anonymous.get(f"{BASE_PATH}/pipelines", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("headers", [{"X-API-Key": "hr_wrong"}, {"Authorization": "Basic eA=="}, {"X-API-Key": ""}])
def test_an_unknown_key_is_401(facade: Facade, headers: dict[str, str]) -> None:
    error_of(facade.anonymous.get(f"{BASE_PATH}/pipelines", headers=headers), 401)


def test_an_expired_key_is_401(facade: Facade) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    key = issue_key(facade.engine, tenant_id="default", name="old", role="admin", pepper=PEPPER, expires_at=past)
    error_of(facade.anonymous.get(f"{BASE_PATH}/pipelines", headers={"X-API-Key": key}), 401)


def test_naming_another_tenant_beside_a_key_is_403(facade: Facade) -> None:
    path = f"{BASE_PATH}/pipelines"
    error_of(facade.admin.get(path, headers={"X-Tenant-Id": "other"}), 403)
    assert facade.admin.get(path, headers={"X-Tenant-Id": "default"}).status_code == 200


def test_health_and_docs_need_no_key(facade: Facade) -> None:
    for path in ("/healthz", "/readyz", f"{BASE_PATH}/readyz", "/openapi.json", "/docs"):
        assert facade.anonymous.get(path).status_code == 200


class TestAuthOff:
    """Without authentication: tenant and role come from headers, and only loopback is allowed."""

    @pytest.fixture
    def local(self, facade: Facade) -> TestClient:
        settings = facade.app.state.services.settings.model_copy(update={"auth": "off"})
        app = create_app(settings, orchestrator=LocalOrchestrator(), engine=facade.engine)
        return TestClient(app, base_url="http://127.0.0.1:8000")

    def test_it_is_refused_beyond_loopback(self) -> None:
        with pytest.raises(ValueError, match="loopback"):
            create_app(settings_for("postgresql:///x", auth="off", host="0.0.0.0"), orchestrator=LocalOrchestrator())

    def test_tenant_and_role_come_from_headers_with_defaults(self, local: TestClient) -> None:
        body = {"name": "files", "type": "local_fs"}
        assert local.post(f"{BASE_PATH}/connectors", json=body).status_code == 201
        assert local.get(f"{BASE_PATH}/connectors", headers={"X-Tenant-Id": "else"}).json()["data"] == []
        viewer = {"X-User-Role": "viewer"}
        error_of(local.post(f"{BASE_PATH}/connectors", json=body, headers=viewer), 403)

    @pytest.mark.parametrize(
        "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"X-User-Role": "root"}]
    )
    def test_a_foreign_page_or_an_unknown_role_gets_nothing(self, local: TestClient, headers: dict[str, str]) -> None:
        error_of(local.get(f"{BASE_PATH}/connectors", headers=headers), 403)
