"""OpenLineage events of a run: to a file, to a server, and to an unreachable server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from openlineage.client import facet_v2
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated.column_lineage_dataset import Fields, InputField, Transformation
from openlineage.client.generated.schema_dataset import SchemaDatasetFacetFields
from openlineage.client.serde import Serde
from pydantic import SecretStr, ValidationError

from headrace.catalog.runs.records import RunSnapshot
from headrace.catalog.settings import Settings
from headrace.connectors.connector import Connection
from headrace.connectors.postgresql.named_database import named_database
from headrace.flows.lineage.openlineage.emitter import LineageEmitter
from headrace.flows.lineage.openlineage.naming import run_uuid, source_name, table_name
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job as RunJob
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.ir.nodes import SourceNode
from tests.flows.runtime.runs import Runner

NODES: list[dict[str, Any]] = [
    {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}},
    {
        "id": "clean",
        "kind": "transform",
        "input": "src",
        "ops": [
            {"type": "filter", "expression": "amount > 1"},
            {"type": "hash", "fields": ["email"]},
            {"type": "rename", "from": "amount", "to": "total"},
        ],
    },
    {"id": "tgt", "kind": "target", "input": "clean", "schema": "public.ds_orders"},
]


@dataclass
class Catcher:
    """A real HTTP server that keeps what it is sent; `status` is what it answers."""

    status: int = 201
    got: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    caught = Catcher()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            caught.got.append((self.path, self.headers["Authorization"], body))
            self.send_response(caught.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    caught.url = f"http://127.0.0.1:{server.server_port}"
    yield caught
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run waits until everything is sent, however busy the machine is."""
    monkeypatch.setattr("headrace.flows.lineage.openlineage.emitter.TIMEOUT_S", 60.0)
    monkeypatch.setattr("headrace.flows.lineage.openlineage.emitter.TIMEOUT_AFTER_FAILURE_S", 60.0)


@pytest.fixture
def runner(database_url: str, tmp_path: Path) -> Runner:
    (tmp_path / "orders.csv").write_text("id,email,amount\n1,a@b.c,5\n2,d@e.f,1\n3,g@h.i,7\n")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.ds_orders (id bigint, email text, total double precision)")
    return Runner(tmp_path, database_url, {"password": "swordfish-9"})


def settings(**chosen: Any) -> Settings:
    return Settings(database_url="postgresql:///x", key_pepper=SecretStr("p" * 20), **chosen)


def ended(
    job: RunJob, status: str, reason: str | None = None, nodes: dict[str, dict[str, int]] | None = None
) -> RunSnapshot:
    """A run as the catalog has it when it has ended."""
    now = datetime.now(UTC)
    known: dict[str, Any] = dict.fromkeys(RunSnapshot.__dataclass_fields__)
    known |= {
        "id": job.run_id,
        "root_run_id": job.root_run_id,
        "status": status,
        "rows_in": 3,
        "rows_out": 2,
        "skipped_rows": 1,
        "failure_reason": reason,
        "started_at": now,
        "finished_at": now,
        "nodes": nodes or {},
    }
    return RunSnapshot(**known)


def warn(job: RunJob, chosen: Settings, status: str, reason: str | None = None, *, runs: bool = False) -> list[str]:
    """Emits all events of a run; returns the warnings."""
    warnings: list[str] = []
    emitter = LineageEmitter(job, chosen, warnings.append)
    emitter.begins()
    nodes = None
    if runs:
        prepared = prepare(job)
        emitter.planned(prepared)
        totals = run_in_threads(Execution(prepared, Runner(job.files_root, job.database_url).recorder))
        nodes = {"src": {"rowsIn": totals.rows_in}, "tgt": {"rowsOut": totals.rows_out}}

    async def to_the_end() -> None:
        emitter.ends(status, ended(job, status, reason, nodes))
        await emitter.delivered()

    asyncio.run(to_the_end())
    return warnings


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rebuilt(event: dict[str, Any]) -> RunEvent:
    """The event rebuilt from the client's classes, which validate it."""

    def facets(found: dict[str, Any], **known: Any) -> dict[str, Any]:
        bare = {name: {key: value for key, value in each.items() if key[0] != "_"} for name, each in found.items()}
        return {name: known[name](**each) for name, each in bare.items() if name in known}

    def used(each: dict[str, Any]) -> InputField:
        return InputField(**each | {"transformations": [Transformation(**one) for one in each["transformations"]]})

    def column_lineage(fields: dict[str, Any], dataset: list[Any]) -> Any:
        made = {name: Fields([used(each) for each in one["inputFields"]]) for name, one in fields.items()}
        return facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet(made, [used(each) for each in dataset])

    def schema(fields: list[Any]) -> Any:
        listed = [SchemaDatasetFacetFields(**each) for each in fields]
        return facet_v2.schema_dataset.SchemaDatasetFacet(listed)

    read = facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet
    wrote = facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    engine = facet_v2.processing_engine_run.ProcessingEngineRunFacet
    error = facet_v2.error_message_run.ErrorMessageRunFacet
    return RunEvent(
        eventType=RunState(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(event["run"]["runId"], facets(event["run"]["facets"], processing_engine=engine, errorMessage=error)),
        job=Job(
            event["job"]["namespace"],
            event["job"]["name"],
            facets(event["job"]["facets"], jobType=facet_v2.job_type_job.JobTypeJobFacet),
        ),
        inputs=[
            InputDataset(
                each["namespace"],
                each["name"],
                facets=facets(each["facets"], schema=schema),
                inputFacets=facets(each["inputFacets"], inputStatistics=read),
            )
            for each in event["inputs"]
        ],
        outputs=[
            OutputDataset(
                each["namespace"],
                each["name"],
                facets=facets(each["facets"], schema=schema, columnLineage=column_lineage),
                outputFacets=facets(each["outputFacets"], outputStatistics=wrote),
            )
            for each in event["outputs"]
        ],
    )


@pytest.mark.postgres
def test_a_run_is_reported_to_a_server_and_into_a_file_with_rows_and_column_lineage(
    runner: Runner, catcher: Catcher, tmp_path: Path
) -> None:
    job, path = runner.job(NODES), tmp_path / "events" / "openlineage.jsonl"
    chosen = settings(openlineage_url=catcher.url, openlineage_api_key="key-1", openlineage_file=str(path))
    assert warn(job, chosen, "completed", runs=True) == []

    assert [(where, key) for where, key, _ in catcher.got] == [("/api/v1/lineage", "Bearer key-1")] * 2
    written = events(path)
    assert [body for _, _, body in catcher.got] == written
    for event in written:
        made = Serde.to_dict(rebuilt(event))
        del event["run"]["facets"]["headrace_run"], event["run"]["facets"]["tags"]  # ours, and the client's own
        assert made == event

    start, end = (json.loads(line) for line in path.read_text().splitlines())
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert end["run"]["runId"] == str(UUID(job.run_id.removeprefix("run_")))
    assert (end["job"]["namespace"], end["job"]["name"]) == ("headrace.default", "P")
    assert end["run"]["facets"]["headrace_run"]["pipelineId"] == "pipe_1"

    [source], [table] = end["inputs"], end["outputs"]
    orders = {"namespace": "file", "name": str(tmp_path / "orders.csv")}
    assert {key: source[key] for key in orders} == orders
    assert [each["name"] for each in start["inputs"]] == [orders["name"]]
    assert [each["name"] for each in source["facets"]["schema"]["fields"]] == ["id", "email", "amount"]
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert (table["namespace"], table["name"]) == table_name("public.ds_orders", runner.url)
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert {each["name"]: each["type"] for each in table["facets"]["schema"]["fields"]} == {
        "id": "bigint",
        "email": "text",
        "total": "double",
    }
    lineage = table["facets"]["columnLineage"]
    assert lineage["_schemaURL"].endswith("1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet")
    direct = {
        name: [(one["field"], use["type"], use["subtype"], use["masking"]) for one in each["inputFields"]
               for use in one["transformations"]]
        for name, each in lineage["fields"].items()
    }  # fmt: skip
    assert direct == {
        "id": [("id", "DIRECT", "IDENTITY", False)],
        "email": [("email", "DIRECT", "TRANSFORMATION", True)],
        "total": [("amount", "DIRECT", "IDENTITY", False)],
    }
    [rows] = lineage["dataset"]
    assert {key: rows[key] for key in orders} | {"field": rows["field"]} == {**orders, "field": "amount"}
    filtered = {"type": "INDIRECT", "subtype": "FILTER", "description": "filter amount > 1", "masking": False}
    assert rows["transformations"] == [filtered]


@pytest.mark.parametrize(("status", "reported"), [("failed", "FAIL"), ("cancelled", "ABORT")])
def test_a_run_that_fails_or_is_cancelled_says_so_without_credentials(
    tmp_path: Path, status: str, reported: str
) -> None:
    path, url = tmp_path / "events.jsonl", "postgresql://ann:hunter2-x@db:5433/shop"
    job = Runner(tmp_path, url, {"password": "swordfish-9"}).job(NODES)
    reason = f"cannot connect to {url} with swordfish-9"
    assert warn(job, settings(openlineage_file=str(path)), status, reason) == []
    start, end = events(path)
    assert (start["eventType"], end["eventType"]) == ("START", reported)
    assert end["outputs"][0]["namespace"] == "postgres://db:5433"
    assert end["outputs"][0]["name"] == "shop.public.ds_orders"
    assert not any(secret in path.read_text() for secret in ("hunter2-x", "swordfish-9"))
    error = end["run"]["facets"].get("errorMessage", {})
    assert error.get("message") == (
        "cannot connect to postgresql://ann:***@db:5433/shop with ***" if reported == "FAIL" else None
    )


def test_who_cannot_be_reported_costs_one_warning_and_the_others_are_reported(tmp_path: Path, catcher: Catcher) -> None:
    path, job = tmp_path / "events.jsonl", Runner(tmp_path, "postgresql:///x").job(NODES)
    catcher.status = 503
    reported = warn(job, settings(openlineage_url=catcher.url, openlineage_file=str(path)), "completed")
    host = catcher.url.removeprefix("http://")
    assert reported == [f"OpenLineage did not receive all events of this run: {host} answered 503"]
    assert len(events(path)) == len(catcher.got) == 2


def test_nobody_at_the_url_and_an_invalid_document_are_no_reason_to_fail(tmp_path: Path) -> None:
    job = Runner(tmp_path, "postgresql:///x").job([{"id": "src", "kind": "source", "connector": "local_fs"}])
    path = tmp_path / "events.jsonl"
    [reported] = warn(
        job, settings(openlineage_url="http://127.0.0.1:9", openlineage_file=str(path)), "failed", "no target"
    )
    assert "127.0.0.1:9 cannot be reached (ConnectionError)" in reported
    assert [(event["eventType"], event["inputs"]) for event in events(path)] == [("START", []), ("FAIL", [])]


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.lineage.openlineage.emitter.TIMEOUT_S", 0.05)
    silent = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # listens, and never accepts
    try:
        job = Runner(tmp_path, "postgresql:///x").job(NODES)
        [reported] = warn(job, settings(openlineage_url=f"http://127.0.0.1:{silent.server_port}"), "completed")
        assert reported.endswith("it took more than 0.05 s")
    finally:
        silent.server_close()


def test_nothing_happens_unless_it_is_configured(tmp_path: Path) -> None:
    before = {*threading.enumerate()}
    assert warn(Runner(tmp_path, "postgresql:///x").job(NODES), settings(), "completed") == []
    assert {*threading.enumerate()} <= before


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h1,h2:5432/db", ("postgres://h1:5432", "db.public.t")),
        ("postgresql://[::1]:5433/db", ("postgres://[::1]:5433", "db.public.t")),
        ("postgresql:///db?host=/run/postgresql", ("postgres://localhost:5432", "db.public.t")),
        ("host=pg user=ann", ("postgres://pg:5432", "ann.public.t")),
    ],
)
def test_tables_are_named_by_their_place_alone(url: str, expected: tuple[str, str]) -> None:
    assert table_name("public.t", url) == expected


def test_sources_are_named_the_same_in_every_run(tmp_path: Path) -> None:
    job = Runner(tmp_path, "postgresql:///x").job(NODES)

    def named(connector: str, **config: Any) -> tuple[str, str]:
        return source_name(SourceNode(id="s", kind="source", connector=connector, config=config), job)

    based = replace(job.pipeline.connector, config={"basePath": "shop"})
    assert named("local_fs", path="in/", pattern={"type": "glob", "value": "*.csv"}) == ("file", f"{tmp_path}/in/*.csv")
    assert named("webhook") == ("headrace://webhook", "conn_1")
    job = replace(job, pipeline=replace(job.pipeline, connector=based))
    assert named("local_fs", path="a.csv") == ("file", f"{tmp_path}/shop/a.csv")
    for path in ("../../a.csv", "/a.csv", "x/../../../a.csv"):  # never read, and never another tenant's name
        assert named("local_fs", path=path)[1].startswith(f"{tmp_path}/shop/")
    assert run_uuid("run_1") == run_uuid("run_1") != run_uuid("run_2")


@pytest.mark.parametrize("url", ["marquez:5000", "http://ann:pw@marquez"])
def test_a_url_that_is_none_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="HEADRACE_OPENLINEAGE_API_KEY"):
        settings(openlineage_url=url)


def test_a_table_in_the_database_of_a_connector_is_named_by_where_that_is() -> None:
    config = {"host": "db.example.com", "port": 6432, "database": "shop"}
    login = {"username": "loader", "password": "s3same"}
    database = named_database(Connection("conn_2", "postgresql", config, login), ())
    assert table_name("sales.orders", database) == ("postgres://db.example.com:6432", "shop.sales.orders")
