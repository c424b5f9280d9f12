"""The editor of a replication's document: problems while it is typed, its plan, saving, and conflicts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.api.console.document_text import MAX_LIVE_CHARACTERS, typed
from tests.api.conftest import Facade
from tests.api.console.people import People, text_of
from tests.api.console.worlds import World, new_world

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(facade: Facade) -> World:
    return new_world(facade)


@pytest.fixture
def place(world: World) -> str:
    return f"/replications/{world.replication_id}/edit"


def stored(facade: Facade, world: World) -> dict[str, Any]:
    return dict(facade.viewer.get(f"{BASE_PATH}/replications/{world.replication_id}").json())


def changed(facade: Facade, world: World, **fields: Any) -> str:
    return json.dumps(stored(facade, world)["document"] | fields)


def test_it_is_shown_as_yaml_and_json_and_saved_as_typed(
    facade: Facade, people: People, world: World, place: str
) -> None:
    before = stored(facade, world)
    for language in ("yaml", "json"):
        shown = people.editor.get(place, params={"as": language}).text
        assert typed(text_of(shown)).document == before["document"]
    text = changed(facade, world, schedule={"kind": "cron", "expression": "0 2 * * *", "timezone": "UTC"})
    answer = people.editor.post(place, data={"text": text, "based_on": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, place.removesuffix("/edit"))
    after = stored(facade, world)
    assert (after["version"], after["document"]) == (2, json.loads(text))
    assert f'href="{place}"' in people.editor.get(place.removesuffix("/edit")).text
    logged = facade.admin.get(f"{BASE_PATH}/audit-logs").json()["logs"][0]
    assert (logged["action"], logged["entityId"]) == ("update", world.replication_id)


def test_problems_and_changes_are_listed_while_it_is_typed(
    facade: Facade, people: People, world: World, place: str
) -> None:
    def checked(text: str, **more: str) -> str:
        return people.editor.post(f"{place}/problems", data={"text": text, **more}).text

    assert "No change." in checked(changed(facade, world))
    page = checked(changed(facade, world, schedule={"kind": "cron", "expression": "0 3 * * *", "timezone": "UTC"}))
    assert "It can be saved" in page
    assert "Against the stored document" in page
    assert "schedule" in page
    unknown = checked("kind: replication\nconnection: nowhere\nwrong: 1\n")
    assert 'data-line="3"' in unknown
    assert "It can be saved" not in unknown
    nowhere = checked(changed(facade, world, connection="nowhere"))
    assert "There is no connector" in nowhere
    assert "expected" in checked("a: [")
    long = changed(facade, world) + " " * MAX_LIVE_CHARACTERS
    assert "not checked while you type" in checked(long)
    assert f'hx-post="{place}/problems"' in checked(long)
    assert "It can be saved" in checked(long, now="true")
    assert stored(facade, world)["version"] == 1


def test_a_refused_text_stays_in_the_page_with_the_reason(
    facade: Facade, people: People, world: World, place: str
) -> None:
    for text in ("a: [", changed(facade, world, connection="nowhere"), changed(facade, world, tables="x\0")):
        answer = people.editor.post(place, data={"text": text, "based_on": "1"})
        assert answer.status_code == 400
        assert "Nothing was saved" in answer.text
        assert text_of(answer.text) == text
    assert stored(facade, world)["version"] == 1


def test_a_conflict_shows_both_texts_and_can_be_resolved(
    facade: Facade, people: People, world: World, place: str
) -> None:
    theirs = changed(facade, world, schedule={"kind": "cron", "expression": "0 4 * * *", "timezone": "UTC"})
    mine = changed(facade, world, schedule={"kind": "cron", "expression": "0 5 * * *", "timezone": "UTC"})
    assert people.editor.post(place, data={"text": theirs, "based_on": "1"}).status_code == 303
    refused = people.editor.post(place, data={"text": mine, "based_on": "1"})
    assert refused.status_code == 409
    assert text_of(refused.text) == mine
    assert "From version 2 to your text" in refused.text
    assert 'name="based_on" value="2"' in refused.text
    assert stored(facade, world)["document"] == json.loads(theirs)
    assert people.editor.post(place, data={"text": mine, "based_on": "2"}).status_code == 303
    assert stored(facade, world)["document"] == json.loads(mine)


def test_the_difference_and_the_plan_of_the_text_are_shown(
    facade: Facade, people: People, world: World, place: str
) -> None:
    assert "They are the same" in people.editor.post(f"{place}/difference", data={"text": changed(facade, world)}).text
    assert "removed" in people.editor.post(f"{place}/difference", data={"text": "a: 1"}).text
    plan = people.editor.post(f"{place}/plan", data={"text": changed(facade, world)})
    assert plan.status_code == 422  # its database does not answer
    assert people.editor.post(f"{place}/plan", data={"text": "a: ["}).status_code == 400
    invalid = people.editor.post(f"{place}/plan", data={"text": changed(facade, world, connection=1)})
    assert invalid.status_code == 400


def test_only_those_who_may_change_it_have_the_editor(facade: Facade, people: People, world: World, place: str) -> None:
    assert f'href="{place}"' not in people.viewer.get(place.removesuffix("/edit")).text
    text = changed(facade, world, schedule=None)
    for path in (place, f"{place}/problems", f"{place}/difference", f"{place}/plan"):
        answer = people.viewer.post(path, data={"text": text, "based_on": "1"})
        assert answer.status_code == 403
    assert people.viewer.get(place).status_code == 403
    assert stored(facade, world)["version"] == 1
