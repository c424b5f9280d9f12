"""Nothing that people see is left out of what browsers look at (`views.py`), and no page offers what its reader may not
do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute

from headrace.api.console import rendering
from headrace.api.console.router import GUARDED, PUBLIC
from headrace.catalog.security.api_keys import ROLES, Role
from tests.api.conftest import Facade, emptied
from tests.api.console.calls import CALLS, ROUTES, Shared, ask, roles_of
from tests.api.console.people import elements, people_of
from tests.api.console.views import APART, DOWNLOADS, UNTRIED, VIEWS
from tests.api.console.worlds import new_world

TEMPLATES = Path(rendering.__file__).parent / "templates"
_USES = re.compile(r"""\{% (?:extends|include|import|from) ["']([^"']+)["']""")


def test_every_page_is_visited_by_a_browser() -> None:
    """A new page is a View in `views.py`."""
    shown = {
        route.name
        for router in (*PUBLIC, *GUARDED)
        for route in router.routes
        if isinstance(route, APIRoute) and (route.methods == {"GET"} or (route.openapi_extra or {}).get("x-asks"))
    }
    visited = {name for view in VIEWS.values() for name in view.routes}
    assert shown - visited == DOWNLOADS | UNTRIED


def test_every_template_is_seen_by_a_browser() -> None:
    """A new template is one of a View in `views.py`, unless others include it."""
    found = {path.name: path.read_text() for path in TEMPLATES.iterdir()}
    parts = {name for text in found.values() for name in _USES.findall(text)}
    seen = {name for view in VIEWS.values() for name in view.templates}
    assert found.keys() - parts - seen == APART
    assert seen <= found.keys()


def test_counts_and_their_nouns_agree() -> None:
    """`1 rows` is what a number and a noun behind it lead to: the filter `counted` has both."""
    wrong = re.compile(
        r"\| (?:number|length) \}\} (?:row|column|partition|remark|statement|entr|run|file|table)[a-z]*s\b"
    )
    assert {
        path.name: wrong.findall(path.read_text()) for path in TEMPLATES.iterdir() if wrong.search(path.read_text())
    } == {}


@pytest.fixture(scope="module")
def shared(running_facade: Facade) -> Shared:
    facade = emptied(running_facade)
    return Shared(facade, people_of(facade), new_world(facade, "offered"))


def offered(page: str) -> Iterator[tuple[str, str]]:
    """The methods and paths that a page leads to."""
    for element in elements(page):
        given = element.attributes
        method = "POST" if given.get("method", "").lower() == "post" else "GET"
        for name, how in (
            ("action", method),
            ("formaction", "POST"),
            ("href", "GET"),
            ("hx-get", "GET"),
            ("hx-post", "POST"),
        ):
            if given.get(name, "").startswith("/"):
                yield how, urlsplit(given[name]).path


@pytest.mark.postgres
@pytest.mark.parametrize("role", ROLES)
def test_no_page_offers_what_its_reader_may_not_do(shared: Shared, role: Role) -> None:
    routes = list(ROUTES.values())
    checked = 0
    for name, route in ROUTES.items():
        if (
            route.methods != {"GET"}
            or role not in roles_of(name)
            or CALLS[name].statuses != (200,)
            or name in DOWNLOADS
        ):
            continue
        for method, path in offered(ask(getattr(shared.people, role), name, shared.world).text):
            asked = [each for each in routes if method in (each.methods or ()) and each.path_regex.match(path)]
            if asked:  # the first is the one that answers
                assert role in roles_of(asked[0].name), f"{name} offers {method} {path} to a {role}"
                checked += 1
    assert checked > 100
