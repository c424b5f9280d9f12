"""The page of a run: its words, where its rows went, its stages, and what can be done with it."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.api.console.graph import graph_of
from headrace.api.console.run_rows import rows_bar, source_bars
from headrace.api.console.run_stages import gantt_of, timed_stages
from headrace.api.console.run_words import can_be_retried, explained
from headrace.catalog.runs.records import LogLine, PartitionCounts, RunSnapshot
from headrace.ir import parse_ir
from tests.api.conftest import IR, Facade
from tests.api.console.people import People, elements
from tests.api.console.worlds import HOSTILE, checked_ir, new_world

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def part(stage: int, index: int, status: str, planned: int, rows: int, *, seconds: tuple[int, int]) -> PartitionCounts:
    began, ended = (AT + timedelta(seconds=each) for each in seconds)
    return PartitionCounts(stage, index, planned, status, rows, rows, 0, 0, 0, ended, began)


def snapshot(status: str, **facts: Any) -> RunSnapshot:
    base = RunSnapshot(
        id="run_1",
        tenant_id="default",
        pipeline_id="pipe_1",
        ir_version=1,
        root_run_id="run_1",
        retry_of=None,
        origin_run_id=None,
        parameters={},
        status=status,
        load_strategy="append",
        total_rows=1000,
        rows_in=1000,
        rows_out=1000,
        failed_rows=0,
        skipped_rows=0,
        failure_reason=None,
        fingerprint=None,
        plan={"stages": [{"name": "src → tgt"}, {"name": "gather"}]},
        created_at=AT,
        started_at=AT,
        measured_from=AT,
        finished_at=AT + timedelta(seconds=20),
        touched_at=AT,
        observed_at=AT + timedelta(seconds=20),
        partitions=(),
        nodes={},
        first_errors=(),
        log=(),
    )
    return replace(base, **facts)


@pytest.mark.parametrize(
    ("run", "state", "tone", "why"),
    [
        (snapshot("completed"), "Completed", "good", "All 1,000 rows that were read are loaded."),
        (snapshot("completed", rows_in=0, rows_out=0), "Completed", "good", "There were no new rows."),
        (
            snapshot("completed_with_errors", rows_out=990, failed_rows=10),
            *("Completed with errors", "amber", "10 of 1,000 rows failed (1.0%); the others are done."),
        ),
        (
            snapshot("completed_with_errors", rows_out=0, failed_rows=1000),
            *("Completed with errors", "amber", "All 1,000 rows failed."),
        ),
        (snapshot("failed", failure_reason="no disk\nleft"), "Failed", "bad", "No disk left."),
        (snapshot("failed", failure_reason="cancelled"), "Cancelled", "calm", "Somebody cancelled it."),
        (snapshot("completed", skip_reason="missed its time"), "Skipped", "calm", "Missed its time."),
        (
            snapshot("pending", log=(LogLine("queue", "waits: tenant limit of 1 running runs", AT),)),
            *("Waiting", "calm", "Waits: tenant limit of 1 running runs."),
        ),
        (
            snapshot("running", finished_at=None, partitions=(part(0, 0, "running", 1000, 250, seconds=(0, 5)),)),
            *("Running", "busy", "1,000 of 1,000 rows are done (100%), about 1 min left."),
        ),
    ],
    ids=lambda value: value.status if isinstance(value, RunSnapshot) else "",
)
def test_a_run_says_in_words_what_it_is_and_why(run: RunSnapshot, state: str, tone: str, why: str) -> None:
    words = explained(run)
    assert (words.state, words.tone, words.why) == (state, tone, why)


def test_what_to_do_follows_from_what_the_run_left_behind() -> None:
    assert "a retry continues after them" in explained(snapshot("failed", failure_reason="x")).todo
    replayable = snapshot("completed_with_errors", failed_rows=1)
    assert "only the failed rows run again" in explained(replayable).todo
    assert can_be_retried(replayable)
    entangled = replace(replayable, plan={"stages": [], "whole": False, "entangling": "joined"})
    assert "node 'joined' brings rows together" in explained(entangled).todo
    assert not can_be_retried(entangled)
    assert not can_be_retried(snapshot("running"))


@pytest.mark.parametrize(
    ("run", "parts"),
    [
        (snapshot("completed", rows_out=900, failed_rows=60, skipped_rows=40), {
            "loaded": 900, "failed": 60, "skipped": 40,
        }),
        (snapshot("running", rows_in=500, rows_out=300, failed_rows=10), {
            "loaded": 300, "failed": 10, "skipped": 0, "under way": 190, "not read yet": 500,
        }),
        (snapshot("failed", rows_out=400), {"loaded": 400, "failed": 0, "skipped": 0, "read, and not loaded": 600}),
        (snapshot("completed", rows_out=10), {"loaded": 10, "failed": 0, "skipped": 0, "combined with others": 990}),
        (snapshot("completed", rows_out=1500), {"loaded": 1500, "failed": 0, "skipped": 0}),
    ],
)  # fmt: skip
def test_the_parts_of_the_bar_are_all_rows_and_no_row_twice(run: RunSnapshot, parts: dict[str, int]) -> None:
    bar = rows_bar(run)
    assert {words: count for _, words, count in bar.parts} == parts
    assert sum(parts.values()) == bar.whole
    assert bool(bar.note) == ("combined with others" in parts or bar.whole == 1500)


RULE = {"id": "positive", "field": "id", "rule": "gt:0", "onFail": "skip"}


def test_each_source_of_a_join_has_what_became_of_its_rows_before_they_met() -> None:
    source, target = IR["nodes"]
    left, right = ({**source, "id": name, "fields": [{"name": "id", "dataType": "integer"}]} for name in ("a", "b"))
    check = {"id": "check", "kind": "validate", "input": "a", "rowLevel": [RULE]}
    joined = {
        "id": "j",
        "kind": "join",
        "inputs": ["check", "b"],
        "type": "left",
        "on": [{"left": "id", "right": "id"}],
    }
    ir = parse_ir({**IR, "nodes": [left, right, check, joined, {**target, "input": "j"}]}).ir
    assert ir is not None
    nodes = {
        "a": {"rowsIn": 100, "rowsOut": 97, "failed": 3},
        "b": {"rowsIn": 10, "rowsOut": 10},
        "check": {"rowsIn": 97, "rowsOut": 90, "failed": 5, "skipped": 2},
        "j": {"rowsIn": 100, "rowsOut": 90, "failed": 1},
        "tgt": {"rowsIn": 89, "rowsOut": 89},
    }
    bars = source_bars(snapshot("completed_with_errors", nodes=nodes), ir)
    assert [(bar.node, bar.whole, [count for _, _, count in bar.parts]) for bar in bars] == [
        ("a", 100, [0, 90, 8, 2]),
        ("b", 10, [0, 10, 0, 0]),
    ]
    alone = parse_ir(checked_ir()).ir
    assert source_bars(snapshot("completed", nodes={"src": {"rowsIn": 5}}), alone) == []


def test_stages_have_names_rates_and_what_is_left() -> None:
    run = snapshot(
        "running",
        finished_at=None,
        partitions=(
            part(-1, 0, "pending", 0, 0, seconds=(0, 0)),
            part(0, 0, "completed", 600, 600, seconds=(0, 10)),
            part(0, 1, "running", 400, 200, seconds=(0, 10)),
            part(1, 0, "completed", 0, 0, seconds=(12, 14)),
        ),
    )
    reading, gathering, publishing = timed_stages(run)
    rows = reading.rows
    assert (rows.name, rows.status, rows.completed, len(rows.partitions)) == ("src → tgt", "running", 1, 2)
    assert (reading.rate, reading.left) == (40.0, 5.0)
    assert (gathering.rows.name, gathering.rows.status, gathering.rate) == ("gather", "completed", None)
    assert publishing.rows.name.startswith("publication")


def test_a_stage_that_gathers_says_what_is_left_by_its_own_rows() -> None:
    half = replace(part(0, 0, "running", 400, 0, seconds=(0, 10)), gathered_rows=100)
    [stage] = timed_stages(snapshot("running", finished_at=None, partitions=(half,)))
    assert (stage.rows.share, stage.rate) == (0.25, 5.0)
    assert stage.left == 60.0  # it took 20 s for a quarter


def test_the_chart_shows_when_partitions_ran_and_stays_within_its_time() -> None:
    run = snapshot("completed", partitions=tuple(part(0, n, "completed", 1, 1, seconds=(n, 10 + n)) for n in range(3)))
    gantt = gantt_of(run)
    assert gantt is not None
    assert [(bar.x, bar.width) for bar in gantt.bars] == [(0.0, 50.0), (5.0, 50.0), (10.0, 50.0)]
    many = tuple(part(0, n, "completed", 1, 1, seconds=(0, 20)) for n in range(100))
    crowded = gantt_of(snapshot("completed", partitions=many))
    assert crowded is not None
    assert [bar.words for bar in crowded.bars] == ["100 partitions: 20.0 s"]
    assert gantt_of(snapshot("pending")) is None


def test_edges_of_the_graph_have_the_rows_that_passed_them() -> None:
    ir = parse_ir(checked_ir()).ir
    assert ir is not None
    counts = {"src": {"rowsIn": 5, "rowsOut": 5}, "check": {"rowsIn": 5, "rowsOut": 3, "failed": 2}}
    graph = graph_of(ir, counts)
    assert [(each["from"], each["to"], each.get("rows")) for each in graph["edges"]] == [
        ("src", "check", 5),
        ("check", "tgt", 3),
    ]
    assert graph["nodes"][1] == {"id": "check", "kind": "validate", "rows": 3, "failed": 2, "warned": 0}


def test_a_route_into_a_join_has_the_rows_that_the_other_edges_leave() -> None:
    source, target = IR["nodes"]
    names = {"id": "names", **{key: value for key, value in source.items() if key != "id"}}
    branch = {
        "id": "b",
        "kind": "branch",
        "input": "src",
        "routes": [{"name": "big", "when": "id > 5"}, {"name": "small", "when": "id <= 5"}],
    }
    on = [{"left": "id", "right": "id"}]
    join = {"id": "j", "kind": "join", "inputs": ["b.big", "names"], "type": "left", "on": on}
    typed = [{**each, "fields": [{"name": "id", "dataType": "integer"}]} for each in (source, names)]
    ir = parse_ir({**IR, "nodes": [*typed, branch, join, {**target, "input": "j"}]}).ir
    assert ir is not None
    counts = {"src": {"rowsOut": 9}, "names": {"rowsOut": 3}, "b": {"rowsOut": 9}, "j": {"rowsIn": 7}}
    found = {(each["from"], each["to"]): each.get("rows") for each in graph_of(ir, counts)["edges"]}
    assert (found["b", "j"], found["names", "j"]) == (4, 3)


@pytest.mark.postgres
def test_the_page_shows_the_run_and_its_links_lead_on(facade: Facade, people: People) -> None:
    world = new_world(facade)
    page = people.viewer.get(f"/runs/{world.run_id}").text
    for text in ("20 of 1,000 rows failed (2.0%)", "<strong>976</strong> loaded", "said &lt;script&gt;"):
        assert text in page
    graph = next(each for each in elements(page, "div") if "data-graph" in each.attributes)
    nodes = {each["id"]: each for each in json.loads(graph.attributes["data-graph"])["nodes"]}
    assert (nodes["check"]["rows"], nodes["check"]["failed"]) == (976, 20)
    assert f"/runs/flow-run/{world.run_id[4:12]}-" in page
    links = {each.attributes["href"] for each in elements(page, "a") if "href" in each.attributes}
    for link in links:
        if link.startswith("/runs"):
            assert people.viewer.get(link).status_code == 200, link


@pytest.mark.postgres
def test_viewers_are_offered_nothing_that_they_may_not_do(facade: Facade, people: People) -> None:
    world = new_world(facade)
    for path in (f"/runs/{world.waiting_id}", f"/runs/{world.run_id}", f"/pipelines/{world.pipeline_id}"):
        for client, offered in ((people.viewer, False), (people.editor, True)):
            forms = [each.attributes.get("action") for each in elements(client.get(path).text, "form")]
            assert any(str(each).startswith(path) for each in forms) == offered


@pytest.mark.postgres
def test_a_run_that_goes_on_is_followed_and_one_that_ended_is_not(facade: Facade, people: People) -> None:
    world = new_world(facade)
    assert f'sse-connect="/runs/{world.waiting_id}/stream"' in people.viewer.get(f"/runs/{world.waiting_id}").text
    assert "sse-connect" not in people.viewer.get(f"/runs/{world.run_id}").text


@pytest.mark.postgres
def test_the_whole_log_is_a_download(facade: Facade, people: People) -> None:
    world = new_world(facade)
    for number in range(600):
        facade.store.log(world.run_id, "load", f"line {number}")
    response = people.viewer.get(f"/runs/{world.run_id}/log.txt")
    assert response.headers["Content-Disposition"].startswith("attachment")
    lines = response.text.splitlines()
    assert lines[-1].endswith("line 599")
    assert len([line for line in lines if " line " in line]) == 600


@pytest.mark.postgres
class TestLog:
    def test_lines_are_found_by_text_level_and_step_newest_first(self, facade: Facade, people: People) -> None:
        run = new_world(facade).run_id
        facade.store.log(run, "extract", "100% of it is here")
        facade.store.log(run, "load", "rows were kept out", level="warning")
        facade.store.log(run, "run", "the disk is full", level="error")

        def lines(query: str) -> list[str]:
            part = people.viewer.get(f"/runs/{run}/log?{query}").text
            return [
                re.sub(r"<[^>]+>", "", row).strip()
                for row in re.findall(r"</td><td>([^<]*(?:<strong.*)?)</td></tr>", part)
            ]

        assert lines("")[:2] == ["error the disk is full", "warning rows were kept out"]
        assert lines("level=warning") == ["error the disk is full", "warning rows were kept out"]
        assert lines("level=error") == ["error the disk is full"]
        assert lines("q=DISK") == ["error the disk is full"]
        assert lines("q=0%25+of") == ["100% of it is here"]
        assert lines("q=_") == []
        assert lines("step=load&level=warning") == ["warning rows were kept out"]
        assert "No line matches" in people.viewer.get(f"/runs/{run}/log?q=nothing").text
        assert people.viewer.get(f"/runs/{run}/log?level=debug").status_code == 400
        assert people.foreign.get(f"/runs/{run}/log").status_code == 404

    def test_of_a_long_log_the_newest_lines_are_shown(self, facade: Facade, people: People) -> None:
        run = new_world(facade).run_id
        for number in range(510):
            facade.store.log(run, "load", f"line {number}")
        page = people.viewer.get(f"/runs/{run}").text
        assert ">line 509<" in page
        assert ">line 3<" not in page
        assert "Only the newest 500 lines" in page
        assert ">line 3<" in people.viewer.get(f"/runs/{run}/log?q=line+3").text


@pytest.mark.postgres
class TestErrors:
    def test_groups_have_counts_shares_and_samples(self, facade: Facade, people: People) -> None:
        world = new_world(facade)
        part = people.viewer.get(f"/runs/{world.run_id}/errors/groups").text
        cells = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", row)).strip() for row in part.split("<td")]
        assert "check · positive" in part
        assert [each for each in cells if each.endswith("60")]
        assert "6.0%" in part
        assert part.count('class="value"') == 2  # the first, the least and the greatest, each once
        assert HOSTILE not in part

    def test_pages_follow_each_other_without_a_row_twice(self, facade: Facade, people: People) -> None:
        world = new_world(facade)
        first = people.viewer.get(f"/runs/{world.run_id}/errors?kind=failed").text
        [link] = [e.attributes["href"] for e in elements(first, "a") if "cursor=" in e.attributes.get("href", "")]
        second = people.viewer.get(link).text
        rows = [re.findall(r"row=(\d+)", page) for page in (first, second)]
        assert [len(each) for each in rows] == [50, 10]
        assert [int(each) for page in rows for each in page] == list(range(1, 61))

    def test_the_filter_is_in_the_url_and_the_csv_has_what_it_selects(self, facade: Facade, people: People) -> None:
        world = new_world(facade)
        for query, count in (
            ("", 60),
            ("?kind=warned", 0),
            ("?node=check&rule=positive&column=amount", 60),
            ("?node=x", 0),
        ):
            page = people.viewer.get(f"/runs/{world.run_id}/errors{query}").text
            assert f'href="/runs/{world.run_id}/errors.csv{query.replace("&", "&amp;")}"' in page
            [header, *rows] = csv.reader(io.StringIO(people.viewer.get(f"/runs/{world.run_id}/errors.csv{query}").text))
            assert header[:4] == ["Row", "Column", "Value", "Error"]
            assert len(rows) == count
        shown = people.viewer.get(f"/runs/{world.run_id}/errors").text
        assert HOSTILE not in shown

    def test_a_bad_filter_or_cursor_is_a_page_that_says_so(self, facade: Facade, people: People) -> None:
        world = new_world(facade)
        for query in ("kind=all", "cursor=x", "node=a&node=b", "node=%00"):
            response = people.viewer.get(f"/runs/{world.run_id}/errors?{query}")
            assert response.status_code == 400
            assert response.headers["X-Request-ID"] in response.text
