"""Pages of a browser that come to this machine under another name or from another origin, requests without keys in
great number, and what answers may disclose."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError, ProgrammingError

from headrace.api.app import BASE_PATH, create_app
from headrace.api.requests.rate_limit import RateLimiter, address_key
from tests.api.conftest import (
    Facade,
    LocalOrchestrator,
    created,
    error_of,
)
from tests.security.served import Served, served

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"
PAGES = ("/openapi.json", "/docs", f"{BASE_PATH}/ir/schema", "/healthz", "/readyz", "/metrics", "/nothing")
NEW = b'{"name": "files", "type": "local_fs"}'


def with_settings(facade: Facade, **settings: Any) -> TestClient:
    changed = facade.app.state.services.settings.model_copy(update=settings)
    app = create_app(changed, orchestrator=LocalOrchestrator(), engine=facade.engine)
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture
def api_without_keys(facade: Facade) -> TestClient:
    """The local demo, that asks for no key."""
    return with_settings(facade, auth="off")


class TestRebinding:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "a b", ""]
    )
    @pytest.mark.parametrize("path", [CONNECTORS, *PAGES])
    def test_a_name_that_was_pointed_here_gets_nothing(
        self, api_without_keys: TestClient, path: str, host: str
    ) -> None:
        answer = api_without_keys.get(path, headers={"Host": host})
        assert answer.status_code in (400, 403), answer.text
        assert "connectors" not in answer.text

    @pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST", "127.0.0.1:1"])
    def test_its_own_names_do(self, api_without_keys: TestClient, host: str) -> None:
        assert api_without_keys.get(CONNECTORS, headers={"Host": host}).status_code == 200

    def test_with_keys_any_name_does_unless_some_are_given(self, facade: Facade) -> None:
        assert facade.viewer.get(CONNECTORS, headers={"Host": "headrace.example"}).status_code == 200
        named = with_settings(facade, allowed_hosts=("headrace.example", "*.internal"))
        named.headers.update(facade.viewer.headers)
        for host, status in (("headrace.example:8443", 200), ("a.internal", 200), ("HEADRACE.example", 200)):
            assert named.get(CONNECTORS, headers={"Host": host}).status_code == status
        for host in ("evil.example", "internal", "headrace.example.evil.example", "127.0.0.1"):
            error_of(named.get(CONNECTORS, headers={"Host": host}), 403)
            assert named.get("/readyz", headers={"Host": host}).status_code == 200  # a probe comes under an address


class TestOrigins:
    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "http://127.0.0.1:3000",
            "http://localhost:8000",
            "http://127.0.0.1:8000.evil",
            "null",
        ],
    )
    def test_another_origin_does_not_write(self, api_without_keys: TestClient, origin: str) -> None:
        error_of(api_without_keys.post(CONNECTORS, content=NEW, headers={"Origin": origin}), 403)
        assert api_without_keys.get(CONNECTORS).json()["data"] == []

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_site_does_not_ask_without_an_origin_either(self, api_without_keys: TestClient, site: str) -> None:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        error_of(api_without_keys.get(CONNECTORS, headers=headers), 403)
        error_of(api_without_keys.post(CONNECTORS, content=NEW, headers={"Sec-Fetch-Site": site}), 403)

    def test_its_own_pages_do_and_those_that_are_named(self, facade: Facade, api_without_keys: TestClient) -> None:
        own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
        assert api_without_keys.post(CONNECTORS, content=NEW, headers=own).status_code == 201
        named = with_settings(facade, auth="off", cors_origins=("http://localhost:3000",))
        page = {"Origin": "http://localhost:3000", "Content-Type": "application/json", "Sec-Fetch-Site": "same-site"}
        answer = named.post(CONNECTORS, content=NEW.replace(b"files", b"more"), headers=page)
        assert answer.status_code == 201
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"

    def test_a_link_to_the_documentation_works(self, api_without_keys: TestClient) -> None:
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert api_without_keys.get("/docs", headers=link).status_code == 200


class TestWithoutKeys:
    @pytest.fixture
    def api(self, facade: Facade) -> Iterator[Served]:
        with served(facade, unauthenticated_limit=5, key_cache_s=0) as api:
            yield api

    def test_guessing_keys_ends_and_locks_nobody_out_who_has_one(self, facade: Facade, api: Served) -> None:
        assert api.ask(CONNECTORS).status == 200  # this key is known from now on
        guesses = [api.ask(CONNECTORS, key=f"hr_{'a' * 42}{n}") for n in range(8)]
        assert [each.status for each in guesses] == [401] * 5 + [429] * 3
        assert 1 <= int(guesses[-1].headers["retry-after"]) <= 120
        assert api.ask(CONNECTORS, key="").status == 429
        assert api.ask(CONNECTORS).status == 200
        assert api.ask("/healthz", key="").status == 200
        assert api.refusals["unauthenticated"] == 4

    def test_pages_for_everybody_are_counted_and_probes_are_not(self, facade: Facade, api: Served) -> None:
        statuses = [api.ask(path, key="").status for path in (*PAGES[:3], "/docs", "/docs", "/docs", "/openapi.json")]
        assert statuses == [200] * 5 + [429] * 2
        for _ in range(10):
            assert [api.ask(path, key="").status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3

    def test_who_a_request_is_for_is_what_a_trusted_proxy_says_and_nobody_else(self, facade: Facade) -> None:
        def guesses(api: Served) -> list[int]:
            said = [f"X-Forwarded-For: 203.0.113.{n}\r\n" for n in range(4)]
            return [api.ask(CONNECTORS, key="hr_wrong", headers=header).status for header in said]

        with served(facade, unauthenticated_limit=2) as api:
            assert guesses(api) == [401, 401, 429, 429]
        with served(facade, unauthenticated_limit=2, trusted_proxies=(ip_network("127.0.0.0/8"),)) as api:
            assert guesses(api) == [401] * 4
            appended = "X-Forwarded-For: 198.51.100.{}, 203.0.113.9\r\n"  # the client's own word, then the proxy's
            statuses = [api.ask(CONNECTORS, key="", headers=appended.format(n)).status for n in range(3)]
            assert statuses == [401, 401, 429]

    def test_the_limiter_forgets_and_a_client_with_a_network_is_one(self) -> None:
        limiter = RateLimiter(1)
        for n in range(30_000):
            limiter.admit(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        assert len(limiter) <= 10_000
        assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2") != address_key("2001:db8:0:1::1")
        assert address_key("::ffff:192.0.2.1") == "192.0.2.1"


class TestAnswers:
    @pytest.mark.parametrize("path", [*PAGES, CONNECTORS, f"{CONNECTORS}/conn_none"])
    def test_every_answer_is_data_of_one_reader(self, facade: Facade, path: str) -> None:
        headers = facade.anonymous.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "no-store" in headers["Cache-Control"] or path.endswith("/ir/schema")
        assert "server" not in headers

    def test_a_key_is_not_kept_by_anybody_on_the_way(self, facade: Facade) -> None:
        answer = facade.admin.post(f"{BASE_PATH}/api-keys", json={"name": "new", "role": "viewer"})
        assert answer.json()["key"].startswith("hr_")
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "error",
        [
            ProgrammingError("SELECT secret FROM headrace.x", {"p": 1}, Exception("/srv/headrace/run.sock")),
            OperationalError("SELECT secret FROM headrace.x", {"p": 1}, Exception("/srv/headrace/run.sock")),
            RuntimeError("SELECT secret FROM headrace.x; /srv/headrace/run.sock https://sqlalche.me/e/20/f405"),
        ],
        ids=["sql", "connection", "any other"],
    )
    def test_a_fault_reports_neither_sql_nor_paths(
        self, facade: Facade, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr("headrace.api.connectors.service.list_connectors", broken, raising=True)
        answer = facade.viewer.get(CONNECTORS)
        assert answer.status_code in (500, 503)
        for part in ("SELECT", "headrace.x", "/srv", "sqlalche"):
            assert part not in answer.text

    def test_what_is_missing_looks_as_what_is_not_mine(self, facade: Facade) -> None:
        theirs = created(facade.foreign, CONNECTORS, {"name": "theirs", "type": "local_fs"})["id"]
        answers = [facade.viewer.get(f"{CONNECTORS}/{each}").json()["error"] for each in (theirs, "conn_none")]
        assert [each.pop("requestId") != "" for each in answers] == [True, True]
        assert answers[0] == answers[1]
