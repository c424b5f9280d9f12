"""The Prefect server's checks of hosts and origins, and the expiry of sign-in links."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from headrace.deployments.prefect.api import SIGN_IN_LINKS_PATH, SIGN_IN_PATH
from headrace.deployments.stack.prefect_guard import AllowedClients, Guard
from headrace.deployments.stack.prefect_server import allow_own_pages_only
from headrace.deployments.stack.prefect_sign_in import SignIn

AUTH = "headrace:secret"


async def _fine(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("fine")


APP = Starlette(routes=[Route("/{path:path}", _fine, methods=["GET", "POST"])])


def ask(app: Any, method: str, path: str, *, host: str = "127.0.0.1:4200", **headers: str) -> httpx.Response:
    async def asking() -> httpx.Response:
        # The address that was dialled is the pod's.
        transport = httpx.ASGITransport(app=_at("10.1.2.3", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://10.1.2.3:4200") as client:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers={"Host": host, **given})

    return asyncio.run(asking())


def _at(address: str, app: Any) -> Any:
    async def there(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"server": (address, 4200)}, receive, send)

    return there


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:4200", True),
        ("localhost", True),
        ("LOCALHOST:9", True),
        ("[::1]:4200", True),
        ("10.1.2.3:4200", True),
        ("prefect:4200", True),
        ("prefect.example.com", True),
        ("10.1.2.4:4200", False),
        ("other:4200", False),
        ("localhost.:4200", False),
        ("prefect@evil.example", False),
        ("prefect.evil.example", False),
        ("[prefect", False),
    ],
)
def test_names_it_is_reached_by(host: str, allowed: bool) -> None:
    neighbours = AllowedClients.of("https://prefect.example.com/api", ["prefect", " "])
    assert ask(Guard(APP, neighbours), "GET", "/api/flows", host=host).is_success is allowed


def test_probes_come_by_any_name_and_from_no_page() -> None:
    guard = Guard(APP, AllowedClients.of(None))
    assert ask(guard, "GET", "/api/health", host="node.example").is_success
    assert ask(guard, "GET", "/api/health", host="node.example", Origin="http://node.example").status_code == 403
    assert ask(guard, "GET", "/api/health/../flows", host="node.example").status_code == 403


def test_origins_are_the_uis() -> None:
    assert AllowedClients.of("https://prefect.example.com/api").origins == {"https://prefect.example.com"}
    assert AllowedClients.of("http://127.0.0.1:4200/api").origins == {
        "http://127.0.0.1:4200",
        "http://localhost:4200",
        "http://[::1]:4200",
    }
    assert AllowedClients.of(None).origins == set()


@pytest.mark.parametrize("ui", [{}, {"PREFECT_SERVER_UI_API_URL": "http://127.0.0.1:4200/api"}])
def test_no_page_of_another_origin_is_ever_reported_yes(ui: dict[str, str]) -> None:
    environment = {"PREFECT_SERVER_API_AUTH_STRING": AUTH, **ui}
    allow_own_pages_only(environment)
    assert "*" not in environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]
    chosen = environment | {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "https://mine.example"}
    allow_own_pages_only(chosen)
    assert chosen["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mine.example"
    with pytest.raises(SystemExit):
        allow_own_pages_only(ui)


def test_a_link_ends_after_two_minutes_and_old_ones_make_room() -> None:
    now = [0.0]
    app = SignIn(APP, AUTH, clock=lambda: now[0])
    right = {"Authorization": f"Basic {base64.b64encode(AUTH.encode()).decode()}"}

    def trade(token: str) -> int:
        async def asking() -> int:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
                return (await client.post(SIGN_IN_PATH, json={"token": token})).status_code

        return asyncio.run(asking())

    tokens = [ask(app, "POST", SIGN_IN_LINKS_PATH, **right).json()["token"] for _ in range(20)]
    assert (trade(tokens[0]), trade(tokens[-1]), trade(tokens[-1])) == (403, 200, 403)
    now[0] = 119.0
    assert trade(tokens[-2]) == 200
    now[0] = 121.0
    assert trade(tokens[-3]) == 403
    assert ask(app, "GET", "/api/flows").text == "fine"
