"""`enrich` in a run: requests, values without an answer, and rows without a request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.flows.dry_run.preview import preview
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.enrich.stranger import LOOPBACK, Asked, Said, Stranger, stranger
from tests.flows.runtime.graphs.world import Node, source, target, transform
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

FIELDS = {"id": "integer", "city": "text"}
KEY: dict[str, Any] = {"enrichKey": {"value": "s3cret", "hosts": ["http://127.0.0.1"]}}


class Town(Runner):
    """A folder, a database, and a provider on loopback that the operator allows."""

    there: Stranger

    def job(self, nodes: Any) -> Job:
        return replace(super().job(nodes), networks=LOOPBACK)

    def table(self, name: str, columns: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(f"CREATE TABLE public.{name} ({columns})")  # type: ignore[call-overload]

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(f"SELECT id, city, mayor FROM public.{name} ORDER BY id").fetchall()  # type: ignore[call-overload, no-any-return]

    def write(self, cities: list[str]) -> None:
        lines = "".join(f"{number},{city}\n" for number, city in enumerate(cities, 1))
        (self.files / "in.csv").write_text(f"id,city\n{lines}")

    def enrich(self, **config: Any) -> Node:
        settings = {"url": f"{self.there.url}/?city={{city}}", "pointer": "/mayor", "maxAttempts": 1}
        return {
            "id": "ask",
            "kind": "enrich",
            "input": "src",
            "provider": "http",
            "fields": ["city"],
            "outputField": "mayor",
            "config": {**settings, "apiKey": "${credentials.enrichKey}", **config},
        }

    def asked_for(self) -> list[str]:
        return sorted(asked.query["city"] for asked in self.there.asked)


def mayor(asked: Asked) -> Said:
    city = asked.query["city"]
    return Said({"mayor": f"{city}'s"}) if city != "Atlantis" else Said({"error": "Atlantis sank"}, 404)


@pytest.fixture
def town(tmp_path: Path, database_url: str) -> Iterator[Town]:
    files = tmp_path / "files"
    files.mkdir()
    found = Town(files, database_url)
    with stranger(mayor) as found.there:
        found.credentials = {"enrichKey": {"value": "s3cret", "hosts": [found.there.url]}}
        found.table("a", "id integer CHECK (id <> 5), city text, mayor text")
        yield found


def test_every_city_is_asked_for_once_whatever_fails_around_it_and_whoever_reads_the_rows(town: Town) -> None:
    town.table("b", "id integer, city text, mayor text")
    names = ["Ulm", "Köln", "Atlantis", "", "Bonn"]
    town.write([names[number % 5] for number in range(2000)])
    check = {
        "id": "check",
        "kind": "validate",
        "input": "fuss",
        "rowLevel": [{"id": "early", "field": "id", "rule": "gt:3"}],
    }
    # One row makes its query raise, which is run again in pieces.
    fussy = "cast(case when id = 7 then 'x' else cast(id as varchar) end as int)"
    nodes = [
        source("in.csv", FIELDS),
        town.enrich(),
        transform("fuss", "ask", {"type": "expression", "field": "id", "expression": fussy}),
        check,
        target("left", "check", "a"),
        target("right", "ask", "b"),
    ]
    totals = town.run(nodes)
    assert town.asked_for() == ["Atlantis", "Bonn", "Köln", "Ulm"]
    assert {asked.headers["Authorization"] for asked in town.there.asked} == {"Bearer s3cret"}
    mayors = {name: f"{name}'s" for name in ("Ulm", "Köln", "Bonn")}
    expected = [(n, names[(n - 1) % 5] or None, mayors.get(names[(n - 1) % 5])) for n in range(1, 2001)]
    assert town.rows("b") == expected
    assert town.rows("a") == [row for row in expected if row[0] > 3 and row[0] not in (5, 7)]
    assert (totals.rows_in, totals.failed) == (2000, 5)
    (line,) = [line for line in town.recorder.lines if line.startswith("ask:")]
    assert line == (
        "ask: 400 rows have null, because there was no answer for them; the last time, because 127.0.0.1 answered 404"
    )


def test_rows_without_an_answer_may_be_error_rows(town: Town) -> None:
    town.write(["Ulm", "Atlantis", "Atlantis"])
    nodes = [source("in.csv", FIELDS), town.enrich(onError="quarantine"), target("tgt", "ask", "a")]
    assert town.run(nodes).failed == 2
    assert town.rows("a") == [(1, "Ulm", "Ulm's")]
    error = 'No answer: 127.0.0.1 answered 404: {"error": "Atlantis sank"}'
    assert sorted(town.recorder.cells) == [("ask", row, "city", "Atlantis", error) for row in (2, 3)]
    # What the provider says may repeat what must not be seen.
    hide = transform("hide", "ask", {"type": "mask_pii", "field": "city", "strategy": "redact"})
    town.run([source("in.csv", FIELDS), town.enrich(onError="quarantine"), hide, target("tgt", "hide", "a")])
    assert sorted(town.recorder.cells) == [("ask", row, "city", "***", "No answer") for row in (2, 3)]


def test_a_run_that_ends_for_want_of_an_answer_goes_on_where_it_was(town: Town) -> None:
    town.write(["Ulm", "Bonn", "Atlantis", "Köln"])
    nodes = [source("in.csv", FIELDS), town.enrich(onError="abort"), target("tgt", "ask", "a")]
    job = replace(town.job(nodes), pipeline=replace(town.job(nodes).pipeline, execution_config={"batchSize": 1}))
    first = Execution(prepare(job), town.recorder)
    plan = stored_plan(first.prepared)
    with pytest.raises(RunFailed, match=r"No answer: .* answered 404"):
        run_in_threads(first)
    done = len(town.rows("a"))
    town.there.answer = lambda asked: Said({"mayor": f"{asked.query['city']}'s"})
    again = replace(job, run_id="run_again", continues=Continuation(job.run_id, earlier_plan=plan))
    totals = run_in_threads(Execution(prepare(again), town.recorder))
    assert [row[2] for row in town.rows("a")] == ["Ulm's", "Bonn's", "Atlantis's", "Köln's"]
    assert (done, totals.rows_out, totals.failed) == (2, 4, 0)


@pytest.mark.parametrize(
    ("credentials", "config", "note"),
    [
        (
            {},
            {},
            "ask: the pipeline's connector has no credential 'enrichKey', so no provider is asked and 'mayor' is null",
        ),
        (KEY, None, "ask: no provider is configured, 'mayor' is null"),
    ],
)
def test_without_credentials_rows_pass_and_the_log_says_it_once(
    town: Town, credentials: dict[str, Any], config: Any, note: str
) -> None:
    town.credentials = credentials
    town.write(["Ulm", "Bonn"])
    node = town.enrich(dataType="text")
    if config is None:
        del node["config"]
    totals = town.run([source("in.csv", FIELDS), node, target("tgt", "ask", "a")])
    assert town.rows("a") == [(1, "Ulm", None), (2, "Bonn", None)]
    assert (totals.rows_out, town.there.asked) == (2, [])
    assert [line for line in town.recorder.lines if line.startswith("ask")] == [note]


def test_a_preview_asks_nobody_and_says_so(town: Town) -> None:
    town.write(["Ulm"])
    nodes = [source("in.csv", FIELDS), town.enrich(), target("tgt", "ask", "a")]
    shown = {each.node: each for each in preview(town.job(nodes), rows=5)}
    assert shown["ask"].rows[0].values == {"id": 1, "city": "Ulm", "mayor": None}
    assert shown["ask"].notes == ("ask: providers are not asked in previews, 'mayor' is null",)
    assert town.there.asked == []


def test_a_run_that_fails_elsewhere_does_not_wait_for_answers(town: Town) -> None:
    town.table("b", "id integer, city text")
    town.write(["Ulm"])
    town.there.answer = lambda _: Said(status=503, headers={"Retry-After": "250"})
    other = source("in.csv", FIELDS, "other")
    stop = {"id": "stop", "kind": "validate", "input": "other"}
    stop["rowLevel"] = [{"id": "no", "field": "city", "rule": "ne:Ulm", "onFail": "abort"}]  # type: ignore[assignment]
    nodes = [source("in.csv", FIELDS), town.enrich(maxAttempts=3), target("tgt", "ask", "a"), other, stop]
    with pytest.raises(RunFailed, match="Rule 'no' stops the run"):
        town.run([*nodes, target("end", "stop", "b")])
    assert town.rows("a") == []
