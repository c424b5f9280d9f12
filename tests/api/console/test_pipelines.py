"""The pages of pipelines: home, tabs, and the forms that change something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.api.console.pipeline import series, strip
from headrace.api.console.pipeline_document import side_by_side
from headrace.catalog.repositories.runs import RunSummary
from headrace.deployments.prefect.orchestrator import OrchestratorAway
from tests.api.conftest import IR, Facade
from tests.api.console.people import People, elements
from tests.api.console.worlds import more_pipelines, new_world

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def summary(number: int, status: str = "completed", seconds: int | None = 10, **facts: Any) -> RunSummary:
    began = AT + timedelta(hours=number)
    ended = None if seconds is None else began + timedelta(seconds=seconds)
    run = RunSummary(f"run_{number}", "pipe_1", status, began, began, ended, 100, 100, 90, 10, 0, None, None, 1, None)
    return run._replace(**facts)


def test_the_strip_has_the_newest_run_at_its_right_end_and_the_longest_is_highest() -> None:
    columns = strip([summary(3, seconds=40), summary(2, "failed", 20), summary(1, seconds=None)])
    assert [column.run.id for column in columns] == ["run_1", "run_2", "run_3"]
    assert columns[-1].x + columns[-1].width <= 100
    assert [column.height for column in columns] == [6.0, 31.0, 56.0]


def test_the_chart_has_only_runs_that_ended_and_were_not_skipped() -> None:
    found = series([summary(3, "running", None), summary(2, skip_reason="missed"), summary(1)])
    assert found == {"at": [int((AT + timedelta(hours=1)).timestamp())], "loaded": [90], "failed": [10], "skipped": [0]}


def test_documents_are_compared_line_by_line() -> None:
    lines = list(side_by_side("a\nb\nc\nd\ne\nf", "a\nb\nc\nd\nE\nf"))
    [changed] = [line for line in lines if line.kind == "replace"]
    assert (changed.before, changed.after) == ((5, "e"), (5, "E"))
    assert (1, "a") not in [line.before for line in lines]
    assert list(side_by_side("a", "a")) == []


@pytest.mark.postgres
class TestHome:
    def test_what_ended_badly_or_waits_comes_first_and_says_why(self, facade: Facade, people: People) -> None:
        world = new_world(facade, "late ones")
        with facade.engine.begin() as connection:
            before = text("UPDATE headrace.pipeline_runs SET created_at = now() - interval '2 h' WHERE id = :id")
            connection.execute(before, {"id": world.waiting_id})
        page = people.viewer.get("/").text
        attention, rest = page.split("All pipelines", 1)
        assert "The file &lt;script&gt;" in attention
        assert f"/runs/{world.failed_id}" in attention
        assert "a run has not begun yet" in attention
        assert f'href="/pipelines/{world.pipeline_id}"' in rest

    def test_a_pipeline_whose_run_is_late_is_named_and_says_since_when(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline("nightly load", ir=IR | {"schedule": {"kind": "cron", "expression": "0 2 * * *"}})
        assert "Nothing: no last run failed" in people.viewer.get("/").text
        with facade.engine.begin() as connection:
            change = text("UPDATE headrace.due_runs SET due_at = now() - interval '3 h 5 min' WHERE pipeline_id = :id")
            connection.execute(change, {"id": pipeline["id"]})
        page = people.viewer.get("/").text
        attention, rest = page.split("All pipelines", 1)
        assert "its schedule wanted a run that has not begun" in attention
        assert "3 h ago" in attention
        assert "late by 3 h 5 min" in rest
        assert "its schedule wanted" not in people.foreign.get("/").text

    def test_a_calm_tenant_is_told_that_nothing_needs_attention(self, facade: Facade, people: People) -> None:
        facade.pipeline("calm")
        assert "Nothing: no last run failed" in people.viewer.get("/").text

    def test_a_source_that_has_other_columns_than_in_the_last_run_is_named(
        self, facade: Facade, people: People
    ) -> None:
        pipeline = facade.pipeline("drifting")["id"]
        statement = text(
            "INSERT INTO headrace.found_columns (pipeline_id, node_id, source_key, columns, found_by, run_columns) "
            "VALUES (:id, 'src', :key, CAST(:now AS jsonb), 'plan', CAST(:before AS jsonb))"
        )
        with facade.engine.begin() as connection:
            facts = {"id": pipeline, "key": "k", "now": '[{"name": "b"}]', "before": '[{"name": "a"}]'}
            connection.execute(statement, facts)
        assert "src has other columns now than in the last run" in people.viewer.get("/").text
        with facade.engine.begin() as connection:  # found again later, under another config: as it was in the run
            same = {"id": pipeline, "key": "later", "now": '[{"name": "b"}]', "before": '[{"name": "b"}]'}
            connection.execute(statement, same)
        assert "src has other columns" not in people.viewer.get("/").text

    def test_pages_and_searches(self, facade: Facade, people: People) -> None:
        more_pipelines(facade, facade.pipeline("alpha")["id"], 51)
        page = people.viewer.get("/").text
        [following] = [e.attributes["href"] for e in elements(page, "a") if "cursor=" in e.attributes.get("href", "")]
        second = people.viewer.get(following).text
        names = ["alpha", *(f"beta {number}" for number in range(51))]
        shown = [{name for name in names if f">{name}</a>" in each} for each in (page, second)]
        assert [len(each) for each in shown] == [30, 22]
        assert shown[0] | shown[1] == set(names)
        assert "Needs attention" not in second
        found = people.viewer.get("/", params={"q": "ALPH"}).text
        assert ">alpha</a>" in found
        assert ">beta 1</a>" not in found
        assert people.viewer.get("/", params={"cursor": "x"}).status_code == 400

    def test_what_is_away_is_said(self, facade: Facade, people: People) -> None:
        assert people.viewer.get("/health-notes").text.strip() == ""
        facade.orchestrator.has_worker = False
        assert "No worker is there" in people.viewer.get("/health-notes").text
        facade.orchestrator.away = True
        assert "Prefect is away" in people.viewer.get("/health-notes").text


@pytest.mark.postgres
class TestForms:
    def test_a_form_that_is_sent_twice_starts_one_run(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        page = people.editor.get(f"/pipelines/{pipeline}").text
        [key] = [e.attributes["value"] for e in elements(page, "input") if e.attributes.get("name") == "request_key"]
        places = {
            people.editor.post(f"/pipelines/{pipeline}/run", data={"request_key": key}).headers["location"]
            for _ in range(2)
        }
        assert len(places) == 1
        assert people.editor.get(places.pop()).status_code == 200

    def test_a_run_gets_the_parameters_of_the_form(self, facade: Facade, people: People) -> None:
        source, target = IR["nodes"]
        source = {**source, "config": {"path": "{{day}}.csv", "format": "csv"}}
        pipeline = facade.pipeline(ir={**IR, "nodes": [source, target]})["id"]
        fields = [e.attributes["name"] for e in elements(people.editor.get(f"/pipelines/{pipeline}").text, "input")]
        assert "parameter.day" in fields
        missing = people.editor.post(f"/pipelines/{pipeline}/run")
        assert missing.status_code == 422
        assert "needs the parameter &#39;day&#39;" in missing.text
        run = people.editor.post(f"/pipelines/{pipeline}/run", data={"parameter.day": "2026-01-15"})
        assert "2026-01-15" in people.editor.get(run.headers["location"]).text

    def test_settings_are_saved_and_bad_ones_are_refused_in_words(self, facade: Facade, people: People) -> None:
        made = facade.pipeline(executionConfig={"batchSize": 10, "mode": "batch"})
        path = f"/pipelines/{made['id']}/settings"
        form = {"name": "renamed", "description": "", "schedule": "0 2 * * *", "parallelism": "2"}
        assert people.editor.post(path, data=form).status_code == 303
        now = facade.viewer.get(f"{BASE_PATH}/pipelines/{made['id']}").json()
        assert (now["name"], now["schedule"], now["description"]) == ("renamed", "0 2 * * *", None)
        assert now["executionConfig"] == {"parallelism": 2, "mode": "batch"}
        for change, message in (
            ({"schedule": "never"}, "has 1 field, not five"),
            ({"parallelism": "0"}, "parallelism"),
            ({"name": " "}, ""),
        ):
            refused = people.editor.post(path, data=form | change)
            assert refused.status_code == 400
            assert message in refused.text
        assert facade.viewer.get(f"{BASE_PATH}/pipelines/{made['id']}").json() == now

    def test_pausing_and_resuming(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline(schedule="0 2 * * *")["id"]
        path = f"/pipelines/{pipeline}"
        assert people.editor.post(f"{path}/status", data={"status": "paused"}).headers["location"] == path
        assert ">paused</span>" in people.viewer.get(path).text
        people.editor.post(f"{path}/status", data={"status": "active"})
        assert ">paused</span>" not in people.viewer.get(path).text
        assert people.editor.post(f"{path}/status", data={"status": "gone"}).status_code == 400

    def test_a_version_that_could_lose_rows_is_asked_for_twice(self, facade: Facade, people: People) -> None:
        made = facade.pipeline()
        source, target = IR["nodes"]
        other = {**IR, "nodes": [source, {**target, "loadMode": "truncate"}]}
        saved = facade.editor.post(
            f"{BASE_PATH}/pipelines/{made['id']}/ir", params={"publish": "false"}, json={"ir": other}
        )
        assert saved.status_code == 201
        path = f"/pipelines/{made['id']}/publish"
        asked = people.editor.post(path, data={"version": "2"})
        if asked.status_code == 400:
            assert "Rows could be lost or doubled" in asked.text
            asked = people.editor.post(path, data={"version": "2", "confirm": "true"})
        assert asked.status_code == 303
        assert facade.viewer.get(f"{BASE_PATH}/pipelines/{made['id']}/ir?live=true").json()["version"] == 2

    def test_without_prefect_a_page_says_what_cannot_be_done(self, facade: Facade, people: People) -> None:
        pipeline = facade.pipeline()["id"]
        facade.orchestrator.away = True
        with pytest.raises(OrchestratorAway):
            facade.orchestrator.served()
        response = people.editor.post(f"/pipelines/{pipeline}/run")
        assert response.status_code == 503
        assert "Prefect cannot be reached" in response.text
        assert people.editor.get(f"/pipelines/{pipeline}").status_code == 200
