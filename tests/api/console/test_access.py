"""Every page x every role x {own, foreign, missing}: as REST has it, and as pages of their own when it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from headrace.api.console.guard import GuardedPage
from headrace.api.console.router import GUARDED, PUBLIC
from headrace.catalog.security.api_keys import ROLES
from tests.api.conftest import IR, Facade, emptied
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
    file: bool = False


NOT_READ = (422,)
"""The sources of these tests are not there: a plan says so."""

TEXT = f"metadata: {{name: x}}\nkind: pipeline\nversion: '1.0'\nid: x\nnodes: {json.dumps(IR['nodes'])}\n"
"""A document of a pipeline."""

CALLS: dict[str, Call] = {
    "console_home": Call(),
    "console_health": Call(),
    "console_run": Call(),
    "console_run_live": Call(),
    "console_run_stream": Call(),
    "console_run_log": Call(),
    "console_run_log_part": Call(query={"level": "warning", "q": "said"}),
    "console_retry": Call((303, 422), run="failed_id"),
    "console_cancel": Call((303,), run="waiting_id"),
    "console_errors": Call(query={"kind": "failed"}),
    "console_error_groups": Call(),
    "console_error_row": Call(query={"node": "check", "row": "3"}),
    "console_errors_csv": Call(),
    "console_quarantine": Call(),
    "console_try_quarantine": Call(NOT_READ),
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
    "console_replications": Call(),
    "console_replication": Call(),
    "console_replication_run": Call(run="copied_id"),
    "console_replication_tables": Call(run="copied_id"),
    "console_replication_plan": Call(NOT_READ),
    "console_run_replication": Call((303,)),
    "console_pause_replication": Call((303,), form={"status": "paused"}),
    "console_retry_replication": Call((303,), run="copied_id"),
    "console_cancel_replication": Call((303,), run="copying_id"),
    "console_edit_replication": Call(),
    "console_save_replication": Call((400,), form={"text": HOSTILE, "based_on": "1"}),
    "console_check_replication": Call(form={"text": f"kind: replication\n{HOSTILE}: 1"}),
    "console_compare_replication": Call(form={"text": HOSTILE}),
    "console_plan_replication_text": Call((400,), form={"text": HOSTILE}),
    "console_edit": Call(),
    "console_save_document": Call((303,), form={"text": TEXT, "based_on": "2"}),
    "console_check_document": Call(form={"text": f"{TEXT}  # {HOSTILE}\n{HOSTILE}: 1"}),
    "console_compare_document": Call(form={"text": HOSTILE}),
    "console_new_pipeline": Call(),
    "console_new_streams": Call((404,), query={"connector": "conn_none"}),
    "console_new_columns": Call((404,), query={"connector": "conn_none", "stream": "x"}),
    "console_create_guided": Call((404,), form={"connector": "conn_none"}),
    "console_new_document": Call(),
    "console_create_document": Call((400,), form={"text": HOSTILE}),
    "console_check_new": Call(form={"text": HOSTILE}),
    "console_connectors": Call(),
    "console_new_connector": Call(query={"type": "postgresql"}),
    "console_create_connector": Call((303, 409), form={"type": "local_fs", "name": "made here"}),
    "console_test_form": Call(form={"type": "local_fs", "config.basePath": HOSTILE}),
    "console_connector": Call(),
    "console_edit_connector": Call(),
    "console_update_connector": Call((303, 409), form={"name": HOSTILE}),
    "console_delete_connector": Call((303, 409)),
    "console_test_connector": Call(),
    "console_streams": Call(NOT_READ),
    "console_stream": Call(NOT_READ, query={"name": HOSTILE}),
    "console_stream_rows": Call(NOT_READ, query={"name": HOSTILE}),
    "console_upload": Call((404,), file=True),
    "console_delete_file": Call((404,)),
    "console_schemas": Call(),
    "console_schema": Call(),
    "console_statistics": Call(),
    "console_calendar": Call(query={"all": "true"}),
    "console_audit": Call(),
    "console_verify_audit": Call(),
    "console_keys": Call(),
    "console_create_key": Call((201,), form={"name": HOSTILE, "role": "viewer"}),
    "console_revoke_key": Call((404,), form={"id": "key_none"}),
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


FOR_ADMINS = {"console_audit", "console_verify_audit", "console_keys", "console_create_key", "console_revoke_key"}
FOR_EDITORS = {
    "console_edit_replication",
    *("console_preview", "console_streams", "console_stream", "console_new_connector", "console_edit_connector"),
    *("console_try_quarantine", "console_stream_rows", "console_replication_plan"),
    *("console_new_pipeline", "console_new_streams", "console_new_columns", "console_new_document"),
}
"""Pages that connect to sources or are only of use for a change."""


def ask(client: TestClient, name: str, world: World) -> Any:
    route, call = ROUTES[name], CALLS[name]
    path = route.path.format(**vars(world) | {"run_id": getattr(world, call.run), "name": "orders.csv"})
    if call.file:
        return client.post(path, files={"file": ("orders.csv", b"amount\n1\n")})
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
