"""A session: a login request gives a token, which is sent until it is refused or too old."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.http.api_server import ApiServer, Asked, numbered
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import rows

CREDENTIALS = {"username": "anna@example.com", "password": "p-very-secret"}
PAGES = paged("token", fields={"id": "bigint"})


class Sessions:
    """A login that gives a new token each time; the last one is good."""

    def __init__(self, api: ApiServer) -> None:
        self.api, self.logins, self.checks = api, list[Asked](), True
        self.answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda token: (
            200,
            {},
            json.dumps({"data": {"session": token}}).encode(),
        )
        api.pages["/login"] = self
        api.tokens, api.open_to_all = [], ("/login",)

    def __call__(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        self.logins.append(asked)
        token = f"s-{len(self.logins)}-secret"
        self.api.tokens = [token] if self.checks else None
        return self.answer(token)


def auth(api: ApiServer, **login: Any) -> dict[str, Any]:
    return {"type": "session", "loginUrl": f"{api.url}/login", "login": {"token": "data.session", **login}}


def test_a_login_is_made_once_and_once_again_when_its_token_is_refused(api: ApiServer) -> None:
    sessions = Sessions(api)
    api.records["orders"] = numbered(350)

    def expire(asked: Asked) -> None:
        if asked.query.get("at") == "t100" and len(sessions.logins) == 1:
            api.tokens = []

    api.before_page = expire
    assert len(rows(source(api, PAGES, credentials=CREDENTIALS, auth=auth(api)))) == 350
    assert len(sessions.logins) == 2
    assert json.loads(sessions.logins[0].body) == CREDENTIALS
    assert "Authorization" not in sessions.logins[1].headers


@pytest.mark.parametrize(
    ("login", "body", "header"),
    [
        ({"format": "form", "usernameKey": "user"}, "user=anna%40example.com&password=p-very-secret", None),
        ({"format": "basic"}, "", "Basic YW5uYUBleGFtcGxlLmNvbTpwLXZlcnktc2VjcmV0"),
        ({"format": "basic", "body": {"tenant": 7}}, '{"tenant":7}', "Basic YW5uYUBleGFtcGxlLmNvbTpwLXZlcnktc2VjcmV0"),
    ],
)
def test_a_login_is_sent_as_the_api_wants_it(
    api: ApiServer, login: dict[str, Any], body: str, header: str | None
) -> None:
    sessions = Sessions(api)
    api.records["orders"] = numbered(3)
    assert len(rows(source(api, PAGES, credentials=CREDENTIALS, auth=auth(api, **login)))) == 3
    [asked] = sessions.logins
    assert (asked.body, asked.headers.get("Authorization")) == (body, header)


def test_a_token_may_be_in_a_header_and_be_sent_in_another(api: ApiServer) -> None:
    sessions = Sessions(api)
    sessions.answer = lambda token: (200, {"X-Session": token}, b"")
    api.tokens, api.key = None, None
    api.records["orders"] = numbered(3)
    api.before_page = lambda asked: sent.append(asked.headers.get("X-Metabase-Session"))
    sent: list[str | None] = []
    config = {**auth(api, token="header:X-Session"), "header": "X-Metabase-Session"}
    sessions.checks = False
    assert len(rows(source(api, PAGES, credentials=CREDENTIALS, auth=config))) == 3
    assert set(sent) == {"s-1-secret"}


def test_an_old_token_is_renewed_before_it_is_sent(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(api)
    api.records["orders"] = numbered(350)
    clock = [1000.0]
    monkeypatch.setattr("headrace.connectors.http.login.time.monotonic", lambda: clock[0])

    def later(asked: Asked) -> None:
        clock[0] += 400

    api.before_page = later
    assert len(rows(source(api, PAGES, credentials=CREDENTIALS, auth=auth(api, validMinutes=15)))) == 350
    assert len(sessions.logins) == 2
    assert {each.headers["Authorization"] for each in api.asked if each.path != "/login"} == {
        "Bearer s-1-secret",
        "Bearer s-2-secret",
    }


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"data": {"session": ""}}', b'{"data": {"session": "a\\nb"}}', b"<a/>"]
)
def test_a_login_without_a_token_is_reported_without_its_answer(api: ApiServer, answer: bytes) -> None:
    Sessions(api).answer = lambda token: (200, {}, answer)
    with pytest.raises(SourceError, match="no token") as refused:
        rows(source(api, PAGES, credentials=CREDENTIALS, auth=auth(api)))
    assert (refused.value.code, "config.auth.login" in str(refused.value.hint)) == ("login_refused", True)
