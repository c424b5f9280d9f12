"""People at the console: clients with a session, as a browser has one."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.api.conftest import Facade

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}


def visitor(app: FastAPI, portal: BlockingPortal | None = None) -> TestClient:
    """A browser without a session; it does not follow redirects by itself. With an event loop of other clients it needs
    no new one for each request."""
    client = TestClient(app, headers=SAME_ORIGIN, follow_redirects=False, raise_server_exceptions=False)
    client.portal = portal
    return client


def signed_in(app: FastAPI, key: str, portal: BlockingPortal | None = None) -> TestClient:
    """A browser after a login with the key."""
    client = visitor(app, portal)
    response = client.post("/login", data={"key": key})
    assert response.status_code == 303, response.text
    assert response.headers["location"] == "/"
    return client


def key_of(client: TestClient) -> str:
    """The API key that a client of the Facade sends."""
    return str(client.headers["X-API-Key"])


@dataclass(frozen=True)
class People:
    """A browser for each role of the tenant `default`, and for an admin of another tenant."""

    admin: TestClient
    editor: TestClient
    viewer: TestClient
    foreign: TestClient
    anonymous: TestClient


def people_of(facade: Facade) -> People:
    """Logs everybody in."""
    clients = (facade.admin, facade.editor, facade.viewer, facade.foreign)
    admin, editor, viewer, foreign = (signed_in(facade.app, key_of(client), client.portal) for client in clients)
    return People(admin, editor, viewer, foreign, visitor(facade.app, facade.anonymous.portal))


@dataclass(frozen=True)
class Element:
    """A start tag of a page."""

    tag: str
    attributes: dict[str, str]


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(Element(tag, {name: value or "" for name, value in attrs}))


def elements(html: str, tag: str = "") -> Iterator[Element]:
    """The elements of a page, all or those with the tag."""
    parser = _Elements()
    parser.feed(html)
    return (each for each in parser.found if tag in ("", each.tag))


def text_of(page: str) -> str:
    """The text in the editor of a page."""
    match = re.search(r"<textarea id=\"text\"[^>]*>\n?(.*?)</textarea>", page, re.DOTALL)
    assert match is not None
    return html.unescape(match[1])
