"""Every page x every role x {own, foreign, missing}: as REST has it, and as pages of their own when it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from headrace.api.console.guard import GuardedPage
from headrace.api.console.router import GUARDED, PUBLIC
from headrace.catalog.security.api_keys import ROLES
from tests.api.conftest import Facade, emptied
from tests.api.console.people import People, elements, people_of
from tests.api.console.worlds import HOSTILE, World, new_world

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Call:
    """A valid request for a page: `run` names the run of the World that it is for; `statuses` answer those who may."""

    statuses: tuple[int, ...] = (200,)
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    run: str = "run_id"


NOT_READ = (422,)
"""The sources of these tests are not there: a plan says so."""

CALLS: dict[str, Call] = {
    "console_home": Call(),
    "console_health": Call(),
    "console_run": Call(),
    "console_run_live": Call(),
    "console_run_stream": Call(),
    "console_run_log": Call(),
    "console_retry": Call((303, 422), run="failed_id"),
    "console_cancel": Call((303,), run="waiting_id"),
    "console_errors": Call(query={"kind": "failed"}),
    "console_error_groups": Call(),
    "console_error_row": Call(query={"node": "check", "row": "3"}),
    "console_errors_csv": Call(),
    "console_quarantine": Call(),
    "console_pipeline": Call(),
    "console_start_run": Call((303,)),
    "console_pause": Call((303,), form={"status": "paused"}),
    "console_graph": Call(),
    "console_versions": Call(query={"from": "1", "to": "2"}),
    "console_publish": Call((303,), form={"version": "1"}),
    "console_lineage": Call(),
    "console_plan": Call(query={"node": "check"}),
    "console_plan_stages": Call(NOT_READ),
    "console_preview": Call(NOT_READ, query={"node": "check"}),
    "console_settings": Call(),
    "console_save_settings": Call((303, 409), form={"name": "renamed"}),
}


def routes() -> Iterator[APIRoute]:
    for router in GUARDED:
        for route in router.routes:
            assert isinstance(route, GuardedPage)
            yield route


ROUTES = {route.name: route for route in routes()}
OF_ONE = [name for name, route in ROUTES.items() if "{" in route.path]
EACH = pytest.mark.parametrize("name", ROUTES)


@dataclass(frozen=True)
class Shared:
    """What the tests of this module share, as long as they change nothing of it."""

    facade: Facade
    people: People
    world: World


@pytest.fixture(scope="module")
def shared(running_facade: Facade) -> Shared:
    facade = emptied(running_facade)
    return Shared(facade, people_of(facade), new_world(facade, HOSTILE[:60]))


def ask(client: TestClient, name: str, world: World) -> Any:
    route, call = ROUTES[name], CALLS[name]
    path = route.path.format(pipeline_id=world.pipeline_id, run_id=getattr(world, call.run))
    method = next(iter(route.methods or ()))
    return client.request(method, path, params=call.query, data=call.form or None)


def roles_of(name: str) -> list[str]:
    extra: dict[str, Any] = ROUTES[name].openapi_extra or {}
    return list(extra["x-roles"])


def test_every_page_is_watched() -> None:
    assert set(ROUTES) == set(CALLS)
    assert {route.path for router in PUBLIC for route in router.routes if isinstance(route, APIRoute)} == {
        *("/static/{name}", "/login", "/login/links", "/logout", "/docs")
    }


def test_viewers_may_read_and_nothing_else() -> None:
    for name, route in ROUTES.items():
        reads = route.methods == {"GET"} and name != "console_preview"
        assert roles_of(name) == (["admin", "editor", "viewer"] if reads else ["admin", "editor"]), name


@EACH
def test_without_a_session_it_leads_to_the_login(shared: Shared, name: str) -> None:
    people = shared.people
    response = ask(people.anonymous, name, World(*["pipe_x", "run_x", "run_y", "run_z"]))
    if ROUTES[name].methods == {"GET"}:
        assert response.status_code == 303
        assert response.headers["location"].startswith("/login?next=/")
    else:
        assert response.status_code == 401
    part = people.anonymous.get("/", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/login")


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.slow) if CALLS[each].statuses == NOT_READ else each for each in ROUTES],
)
def test_own_objects_are_for_the_roles_that_may(shared: Shared, name: str) -> None:
    people = shared.people
    for role in ROLES:
        changes = ROUTES[name].methods != {"GET"} and role in roles_of(name)
        world = new_world(shared.facade) if changes else shared.world
        if name == "console_run_stream":  # of a run that has ended: it ends at once
            assert "event: end" in ask(getattr(people, role), name, world).text
            continue
        response = ask(getattr(people, role), name, world)
        if role in roles_of(name):
            assert response.status_code in CALLS[name].statuses, response.text
        else:
            assert response.status_code == 403
            assert f"The role {role} may not do this." in response.text


@pytest.mark.parametrize("name", OF_ONE)
def test_a_foreign_object_is_answered_exactly_as_a_missing_one(shared: Shared, name: str) -> None:
    people, world = shared.people, shared.world
    missing = world.missing()
    foreign, unknown = ask(people.foreign, name, world), ask(people.admin, name, missing)
    assert foreign.status_code == unknown.status_code == 404
    assert "Not found" in foreign.text
    assert foreign.headers["Content-Type"].startswith("text/html")

    def plain(text: str) -> str:
        """Without what differs: who asks, and the id of the request."""
        return re.sub(r"req_\w+|\w+ · \w+", "", text)

    assert plain(foreign.text) == plain(unknown.text)


PAGES = [name for name, route in ROUTES.items() if route.methods == {"GET"} and CALLS[name].statuses == (200,)]


@pytest.mark.parametrize("name", PAGES)
def test_what_others_wrote_is_text_and_never_markup(shared: Shared, name: str) -> None:
    people, world = shared.people, shared.world
    for run in ("run_id", "failed_id"):
        chosen = World(world.pipeline_id, getattr(world, run), world.failed_id, world.waiting_id)
        response = ask(people.admin, name, chosen)
        assert response.status_code == 200
        if not response.headers["Content-Type"].startswith("text/html"):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            continue
        for element in elements(response.text):
            assert element.tag != "img"
            assert element.tag != "script" or set(element.attributes) == {"src", "defer"}
            assert not [each for each in element.attributes if each.startswith("on") or each == "style"], element
