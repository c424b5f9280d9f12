"""Attacks on the console: sessions, requests of other sites, scripts in data, redirects elsewhere, frames."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from headrace.api.app import BASE_PATH, create_app
from headrace.api.console.guard import local_path
from headrace.catalog.engine import make_engine
from tests.api.conftest import Facade, LocalOrchestrator, created, settings_for
from tests.api.console.people import SAME_ORIGIN, elements, key_of, signed_in, visitor

pytestmark = pytest.mark.postgres

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def cookie_of(client: TestClient) -> str:
    return next(iter(client.cookies.values()))


def new_key(facade: Facade, role: str = "admin") -> dict[str, str]:
    made: dict[str, str] = created(facade.admin, f"{BASE_PATH}/api-keys", {"name": "for a session", "role": role})
    return made


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_holds_no_key(facade: Facade) -> None:
    client, key = visitor(facade.app), key_of(facade.editor)
    [cookie] = client.post("/login", data={"key": key}).headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert name == "headrace_session"
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert "secure" not in flags
    assert key not in cookie
    secure = TestClient(facade.app, base_url="https://testserver", headers={"Sec-Fetch-Site": "same-origin"})
    [cookie] = secure.post("/login", data={"key": key}, follow_redirects=False).headers.get_list("set-cookie")
    assert "secure" in cookie.lower()


def test_only_a_keyed_hash_of_the_session_is_stored(facade: Facade) -> None:
    token = cookie_of(signed_in(facade.app, key_of(facade.editor)))
    with facade.engine.connect() as connection:
        rows = connection.execute(text("SELECT s::text FROM headrace.console_sessions s")).scalars().all()
    assert rows
    assert not any(token in row or token.encode().hex() in row for row in rows)


def test_a_session_ends_with_its_key(facade: Facade) -> None:
    made = new_key(facade)
    client = signed_in(facade.app, made["key"])
    assert client.get("/").status_code == 200
    assert facade.admin.delete(f"{BASE_PATH}/api-keys", params={"id": made["id"]}).is_success
    assert client.get("/").headers["location"] == "/login?next=/"


def test_a_session_ends_at_logout_and_its_cookie_is_worth_nothing_then(facade: Facade) -> None:
    client = signed_in(facade.app, key_of(facade.editor))
    stolen = visitor(facade.app)
    stolen.cookies.set("headrace_session", cookie_of(client))
    assert stolen.get("/").status_code == 200
    assert client.post("/logout").status_code == 303
    assert not client.cookies
    assert stolen.get("/").status_code == 303


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE headrace.console_sessions SET expires_at = now()",
        "UPDATE headrace.console_sessions SET role = 'admin'",
        "UPDATE headrace.console_sessions SET tenant_id = 'other'",
    ],
)
def test_a_session_has_the_tenant_and_role_of_its_key_and_expires(facade: Facade, change: str) -> None:
    client = signed_in(facade.app, key_of(facade.viewer))
    with facade.engine.begin() as connection:
        connection.execute(text(change))
    assert client.get("/").status_code == 303


def test_a_session_does_not_outlive_a_key_that_expires(facade: Facade) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    body = {"name": "short", "role": "viewer", "expiresAt": soon.isoformat()}
    made = created(facade.admin, f"{BASE_PATH}/api-keys", body)
    client = signed_in(facade.app, made["key"])
    assert client.get("/").status_code == 200
    ends = text("SELECT expires_at FROM headrace.console_sessions WHERE key_id = :key")
    with facade.engine.begin() as connection:
        assert connection.scalar(ends, {"key": made["id"]}) == soon


TOKEN = "hrs_" + "A" * 43


@pytest.mark.parametrize("cookie", ["", "hr_x", TOKEN, TOKEN[:-1], "\u00e9", TOKEN + "'"])
def test_other_cookies_are_no_session(facade: Facade, cookie: str) -> None:
    sent = f"headrace_session={cookie}".encode()
    response = visitor(facade.app).get("/", headers={b"Cookie": sent})
    assert response.status_code == 303


def test_a_session_is_no_key_and_a_key_is_no_session(facade: Facade) -> None:
    client = signed_in(facade.app, key_of(facade.admin))
    assert client.get(f"{BASE_PATH}/pipelines").status_code == 401
    assert facade.anonymous.get(f"{BASE_PATH}/pipelines", headers={"X-API-Key": cookie_of(client)}).status_code == 401
    as_cookie = visitor(facade.app)
    as_cookie.cookies.set("headrace_session", key_of(facade.admin))
    assert as_cookie.get("/").status_code == 303
    by_header = visitor(facade.app).get("/", headers={"X-API-Key": key_of(facade.admin)})
    assert by_header.status_code == 303


OTHER_SITES = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver:4200"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://testserver.evil.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {},
]


@pytest.mark.parametrize("headers", OTHER_SITES, ids=lambda headers: " ".join(headers.values()) or "neither")
@pytest.mark.parametrize("path", ["/logout", "/login"])
def test_forms_of_other_sites_do_nothing(facade: Facade, path: str, headers: dict[str, str]) -> None:
    client = signed_in(facade.app, key_of(facade.admin))
    for name in SAME_ORIGIN:
        del client.headers[name]
    response = client.post(path, data={"key": key_of(facade.admin)}, headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert client.get("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/a\r\nLocation: https://evil.example",
        "evil.example",
        "",
    ],
)
def test_a_login_leads_to_no_other_host(facade: Facade, path: str) -> None:
    assert local_path(path) == "/"
    response = visitor(facade.app).post("/login", data={"key": key_of(facade.viewer), "next": path})
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_a_login_leads_back_to_the_page_that_was_asked_for(facade: Facade) -> None:
    client = visitor(facade.app)
    first = client.get("/?q=a%26b&status=active")
    assert first.headers["location"] == "/login?next=/%3Fq%3Da%2526b%26status%3Dactive"
    assert 'value="/?q=a%26b&amp;status=active"' in client.get(first.headers["location"]).text


def test_no_page_may_be_framed_or_load_from_elsewhere(facade: Facade) -> None:
    client = signed_in(facade.app, key_of(facade.admin))
    for path in (
        "/",
        "/login",
        "/docs",
        "/health-notes",
        "/pipelines/none",
        "/runs/none",
        "/pipelines/none/plan/stages",
    ):
        headers = client.get(path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self' data:",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_names_and_searches_are_text_and_never_markup(facade: Facade) -> None:
    facade.pipeline(HOSTILE[:60])
    client = signed_in(facade.app, key_of(facade.admin))
    for path in ("/", f"/?q={HOSTILE}", f"/login?next=/{HOSTILE}"):
        page = client.get(path) if "login" not in path else visitor(facade.app).get(path)
        assert page.status_code == 200
        assert all("src" in each.attributes for each in elements(page.text, "script"))
        assert not list(elements(page.text, "img"))


def test_guesses_of_keys_and_sessions_are_counted_by_address(facade: Facade) -> None:
    settings = facade.app.state.services.settings.model_copy(update={"unauthenticated_limit": 3})
    engine = make_engine(settings.database_url)
    app = create_app(settings, orchestrator=LocalOrchestrator(), engine=engine)
    try:
        client = visitor(app)
        statuses = [client.post("/login", data={"key": "hr_" + "x" * 43}).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        client.cookies.set("headrace_session", "hrs_" + "x" * 43)
        refused = client.get("/")
        assert refused.status_code == 429
        assert "Retry-After" in refused.headers
    finally:
        engine.dispose()


def test_with_authentication_off_pages_of_other_sites_change_nothing(facade: Facade) -> None:
    settings = settings_for(facade.app.state.services.settings.database_url, auth="off", host="127.0.0.1")
    engine = make_engine(settings.database_url)
    app = create_app(settings, orchestrator=LocalOrchestrator(), engine=engine)
    try:
        local = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        assert local.get("/").status_code == 200
        assert local.get("/login").headers["location"] == "/"
        for headers in OTHER_SITES:
            assert local.post("/logout", headers=headers).status_code == 403
        own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}
        assert local.post("/logout", headers=own).status_code == 303
        assert TestClient(app, base_url="http://rebound.example").get("/").status_code == 403
    finally:
        engine.dispose()


class TestLinks:
    """`headrace open`: a link that signs a browser in."""

    def test_a_link_works_once_and_is_no_session_and_no_key(self, facade: Facade) -> None:
        token = facade.viewer.post("/login/links").json()["token"]
        as_cookie = visitor(facade.app)
        as_cookie.cookies.set("headrace_session", token)
        assert as_cookie.get("/").status_code == 303
        assert facade.anonymous.get(f"{BASE_PATH}/pipelines", headers={"X-API-Key": token}).status_code == 401
        session = token.replace("hrl_", "hrs_")
        as_cookie.cookies.set("headrace_session", session)
        assert as_cookie.get("/").status_code == 303
        client = visitor(facade.app)
        assert client.post("/login", data={"link": token}).status_code == 303
        assert "default · viewer" in client.get("/").text
        assert visitor(facade.app).post("/login", data={"link": token}).status_code == 401

    def test_a_link_expires_and_ends_with_its_key(self, facade: Facade) -> None:
        made = new_key(facade)
        headers = {"X-API-Key": made["key"]}
        old, orphan = (facade.anonymous.post("/login/links", headers=headers).json()["token"] for _ in range(2))
        with facade.engine.begin() as connection:
            lasts = text("SELECT max(expires_at - created_at) <= interval '2 min 1 s' FROM headrace.console_sessions "
                         "WHERE key_id = :id")  # fmt: skip
            assert connection.scalar(lasts, {"id": made["id"]})
            connection.execute(text("UPDATE headrace.console_sessions SET expires_at = now() WHERE key_id = :id "
                                    "AND digest = (SELECT min(digest::text)::bytea FROM headrace.console_sessions "
                                    "WHERE key_id = :id)"), {"id": made["id"]})  # fmt: skip
        statuses = [visitor(facade.app).post("/login", data={"link": each}).status_code for each in (old, orphan)]
        assert sorted(statuses) == [303, 401]
        late = facade.anonymous.post("/login/links", headers=headers).json()["token"]
        assert facade.admin.delete(f"{BASE_PATH}/api-keys", params={"id": made["id"]}).is_success
        assert visitor(facade.app).post("/login", data={"link": late}).status_code == 401

    def test_only_who_has_a_key_makes_links(self, facade: Facade) -> None:
        assert facade.anonymous.post("/login/links").status_code == 401
        session = signed_in(facade.app, key_of(facade.admin))
        assert session.post("/login/links").status_code == 401

    def test_guessed_links_are_counted(self, facade: Facade) -> None:
        assert visitor(facade.app).post("/login", data={"link": "hrl_" + "A" * 43}).status_code == 401
        assert visitor(facade.app).post("/login", data={"link": "x", "key": "y"}).status_code == 401
