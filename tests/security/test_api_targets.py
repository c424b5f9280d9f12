"""Neither an API nor the author of a target that sends rows to it can reach internal addresses, divert credentials or
rows, inject headers, or run anything in a template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import TargetError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.client import Attempts
from headrace.connectors.http.target.records import rendered
from headrace.connectors.http.target.settings import problems, settings_of
from headrace.connectors.http.target.target import ApiTarget
from headrace.connectors.source import ROW
from tests.connectors.http.api_server import ApiServer
from tests.connectors.stores.places import LOOPBACK

SECRET = "t-very-secret"
CONFIG = {"path": "/in", "record": {"id": {"$field": "id"}}}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


def target(url: str, config: dict[str, Any] = CONFIG, *, inside: bool = True, **connection: Any) -> ApiTarget:
    surroundings = Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK if inside else ())
    record = Connection("c", "rest_api", {"url": url, **connection}, {"token": SECRET})
    return API_TARGETS["http"].target(Context(record, surroundings, config))


def refused(found: ApiTarget) -> TargetError:
    with pytest.raises(TargetError) as error:
        found.send("/in", ['{"id":1}'], "key", Attempts())
    found.close()
    assert SECRET not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1"]
)
def test_an_address_inside_is_not_dialled(url: str) -> None:
    assert refused(target(url, inside=False, insecureLogin=True)).code == "address_refused"


def test_the_login_is_not_sent_in_the_clear(api: ApiServer) -> None:
    assert refused(target(api.url)).code == "insecure"
    assert api.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_rows_and_login_do_not_follow_a_redirect(api: ApiServer, status: int) -> None:
    other = ApiServer()
    api.pages["/in"] = lambda asked: (status, {"Location": f"{other.url}/in"}, b"")
    assert refused(target(api.url, insecureLogin=True)).code == "redirected"
    other.close()
    assert other.asked == []


def test_what_the_api_says_shows_no_secret_and_stays_on_one_line(api: ApiServer) -> None:
    said = f'{{"errors": [{{"index": 0, "message": "your {SECRET}\\nERROR forged"}}]}}'
    api.pages["/in"] = lambda asked: (200, {}, said.encode())
    found = target(api.url, {**CONFIG, "rejects": {"path": "errors"}}, insecureLogin=True)
    assert found.send("/in", ['{"id":1}'], "key", Attempts()).rejects == {0: "your *** ERROR forged"}
    found.close()


def test_a_huge_answer_is_not_read(api: ApiServer) -> None:
    api.pages["/in"] = lambda asked: (200, {}, b"x" * 100_000)
    assert refused(target(api.url, insecureLogin=True, maxPageBytes=1024)).code == "too_large"


@pytest.mark.parametrize(
    "change",
    [
        {"path": "https://elsewhere.example/in"},
        {"path": "//elsewhere.example/in"},
        {"path": "/a/../../admin"},
        {"path": "/in?key=1"},
        {"path": "/{id}"},
        {"path": "/{field.}", "batch": {"rows": 1}},
        {"path": "/{field.id}/../admin", "batch": {"rows": 1}},
        {"path": "/{field.id}?a=1", "batch": {"rows": 1}},
        {"path": "{field.id}://x", "batch": {"rows": 1}},
        {"path": "/{field.id}"},
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X\r\nY": "a"}},
        {"idempotencyHeader": "Content-Length"},
        {"record": {"a": {"$eval": "1"}}},
        {"record": {"$where": {"$field": "a"}}},
        {"record": {"a": {"$field": "__row"}}},
        {"record": {"a": {"$field": "a", "extra": 1}}},
        {"record": {f"a{number}": {"$field": "a"} for number in range(1_001)}},
        {"refuses": [401]},
        {"batch": {"bytes": 1 << 40}},
    ],
)
def test_a_config_that_would_do_something_else_is_refused(change: dict[str, Any]) -> None:
    assert problems(CONFIG) == []
    assert problems({**CONFIG, **change})


def test_a_deep_template_is_refused() -> None:
    deep: Any = {"$field": "a"}
    for _ in range(200):
        deep = {"a": deep}
    assert problems({**CONFIG, "record": deep})[0].code == "too_large"


HOSTILE = [
    "../admin",
    "a/../b",
    "..",
    ".",
    "",
    "..\\x",
    "a/b",
    "a?b=c#d",
    "%2e%2e",
    "{field.id}",
    "a\r\nHost: x",
    "é@h:1",
]


def test_a_value_in_a_path_is_one_segment_of_it(api: ApiServer) -> None:
    """What would lead elsewhere is an error row; everything else is encoded, once."""
    settings = settings_of({**CONFIG, "path": "/users/{field.id}/x-{field.id}", "batch": {"rows": 1}})
    made = rendered(pl.DataFrame({ROW: range(len(HOSTILE)), "id": HOSTILE}), settings)
    assert made.rejects["row"].to_list() == [0, 1, 2, 3, 4, 5]
    found = target(
        api.url, {**CONFIG, "path": "/users/{field.id}/x-{field.id}", "batch": {"rows": 1}}, insecureLogin=True
    )
    for row, path in made.frame.select(ROW, "path").iter_rows():
        own = quote(HOSTILE[row], safe="")
        assert path == f"/users/{own}/x-{own}"
        api.pages[path] = lambda asked: (200, {}, b"")
        assert found.send(path, ["{}"], "key", Attempts()).whole is None
        assert (api.asked[-1].url, api.asked[-1].headers["Host"]) == (path, api.url.removeprefix("http://"))
    found.close()
