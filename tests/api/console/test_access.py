"""Every page x every role x {own, foreign, missing}: as REST has it, and as pages of their own when it is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fastapi.routing import APIRoute

from headrace.api.console.router import PUBLIC
from headrace.catalog.security.api_keys import ROLES
from tests.api.conftest import Facade, emptied
from tests.api.console.calls import CALLS, NOT_READ, ROUTES, Shared, ask, roles_of
from tests.api.console.people import elements, people_of
from tests.api.console.worlds import HOSTILE, World, new_world

pytestmark = pytest.mark.postgres


OF_ONE = [name for name, route in ROUTES.items() if "{" in route.path]
EACH = pytest.mark.parametrize("name", ROUTES)


@pytest.fixture(scope="module")
def shared(running_facade: Facade) -> Shared:
    facade = emptied(running_facade)
    return Shared(facade, people_of(facade), new_world(facade, HOSTILE[:60]))


FOR_ADMINS = {"console_audit", "console_verify_audit", "console_keys", "console_create_key", "console_revoke_key"}
FOR_EDITORS = {
    "console_edit_replication",
    *("console_preview", "console_streams", "console_stream", "console_new_connector", "console_edit_connector"),
    *("console_try_quarantine", "console_stream_rows", "console_replication_plan"),
    *("console_new_pipeline", "console_new_streams", "console_new_columns", "console_new_document"),
}
"""Pages that connect to sources or are only of use for a change."""


def test_every_page_is_watched() -> None:
    assert set(ROUTES) == set(CALLS)
    assert {route.path for router in PUBLIC for route in router.routes if isinstance(route, APIRoute)} == {
        *("/static/{name}", "/login", "/login/links", "/logout", "/docs")
    }


def test_viewers_may_read_and_nothing_else() -> None:
    for name, route in ROUTES.items():
        reads = route.methods == {"GET"} and name not in FOR_EDITORS
        others = ["admin"] if name in FOR_ADMINS else ["admin", "editor"]
        assert roles_of(name) == (["admin", "editor", "viewer"] if reads and others != ["admin"] else others), name


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
        chosen = replace(world, run_id=getattr(world, run))
        response = ask(people.admin, name, chosen)
        assert response.status_code == 200
        if not response.headers["Content-Type"].startswith("text/html"):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            continue
        for element in elements(response.text):
            assert element.tag != "img"
            assert element.tag != "script" or set(element.attributes) == {"src", "defer"}
            assert not [each for each in element.attributes if each.startswith("on") or each == "style"], element
