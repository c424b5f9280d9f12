"""Replications at the console: their tables in a run, and what may be done with them."""

from __future__ import annotations

import re

import pytest

from headrace.api.app import BASE_PATH
from headrace.catalog.replications.store import ReplicationRunStore
from tests.api.conftest import Facade
from tests.api.console.people import People, elements
from tests.api.console.worlds import World, new_world

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(facade: Facade) -> World:
    return new_world(facade)


def forms(page: str) -> list[str]:
    return [each.attributes.get("action", "") for each in elements(page, "form") if each.attributes.get("action")]


def test_they_are_listed_with_their_last_run_and_found_by_a_part_of_the_name(people: People, world: World) -> None:
    page = people.viewer.get("/replications").text
    assert f'href="/replications/{world.replication_id}"' in page
    assert "Failed" in page
    assert "No replication has that" in people.viewer.get("/replications", params={"q": "none of them"}).text


def test_tables_are_shown_with_their_state_and_reason_those_to_look_at_first(people: People, world: World) -> None:
    place = f"/replications/{world.replication_id}/runs/{world.copied_id}"
    page = people.viewer.get(place).text
    states = re.findall(r'class="status \w+">([^<]+)<', page[page.index('id="tables"') : page.index('id="runs-head"')])
    assert states == ["Failed", "Refused", "Completed with errors"]
    assert f'href="/runs/{world.run_id}"' in page
    assert f'href="/runs/{world.run_id}/errors"' in page
    assert "1 of 2 tables" in page
    part = people.viewer.get(f"{place}/tables").text
    assert "every 2s" not in part  # it has ended
    assert "every 2s" in people.viewer.get(f"/replications/{world.replication_id}").text  # the newest has not


def test_a_failed_run_is_copied_again_and_a_waiting_one_cancelled(facade: Facade, people: People, world: World) -> None:
    place = f"/replications/{world.replication_id}"
    failed = people.editor.get(f"{place}/runs/{world.copied_id}").text
    assert f"{place}/runs/{world.copied_id}/retry" in forms(failed)
    assert not [each for each in forms(people.viewer.get(f"{place}/runs/{world.copied_id}").text) if "/retry" in each]
    again = people.editor.post(f"{place}/runs/{world.copied_id}/retry")
    assert people.editor.get(again.headers["location"]).status_code == 200
    waiting = people.editor.get(f"{place}/runs/{world.copying_id}").text
    assert f"{place}/runs/{world.copying_id}/cancel" in forms(waiting)
    people.editor.post(f"{place}/runs/{world.copying_id}/cancel")
    runs = {each["id"]: each for each in facade.viewer.get(f"{BASE_PATH}{place}/runs").json()}
    assert runs[world.copying_id]["status"] == "failed"
    done = people.editor.get(f"{place}/runs/{world.copying_id}").text
    assert not [each for each in forms(done) if "/cancel" in each]


def test_a_form_that_is_sent_twice_starts_one_run(people: People, world: World) -> None:
    place = f"/replications/{world.replication_id}/run"
    first, second = (people.editor.post(place, data={"request_key": "once"}).headers["location"] for _ in range(2))
    assert first == second


def test_a_run_that_copied_all_offers_no_retry(facade: Facade, people: People, world: World) -> None:
    ReplicationRunStore(facade.engine).finished(world.copying_id, status="completed", failure_reason=None)
    page = people.editor.get(f"/replications/{world.replication_id}/runs/{world.copying_id}").text
    assert not [each for each in forms(page) if "/retry" in each]
