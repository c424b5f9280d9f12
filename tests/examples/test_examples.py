"""Every folder of `examples/` does what it says: its pipeline loads its files into a real table.

A folder holds `pipeline.json` and `input.csv` (`input.2.csv`, … are loaded after it, each in a run of its own; in
`formats/` it is a file of that format), and
`expected.csv`: what the table `public.ds_result` holds in the end; `expected.<table>.csv` says it of another.
`schema.sql` makes the tables; without it `ds_result` has the columns of `expected.csv`, as text.
`connector.json` is the connector where it is not the files folder: the files are put into an emulator of its kind,
which is read in its stead; in a database `input.sql` is executed. `connection.json` is the connector that a target
names: a database on another server takes its place, in which `schema.connection.sql` makes the tables and
`expected.connection.<table>.csv` says what they hold. `expected_errors.csv` are the errors of the last run,
as the API gives them; without it there are none.
"""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from psycopg import sql

from headrace.catalog.hooks.writing import store
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.files.local.uploads import Uploads
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.specs import CONNECTOR_TYPES
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.input.file_arrival import arrive
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.streaming.stream import Stream
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.catalog.hooks.spools import ROOM, Spools, delivery
from tests.connectors.bigquery.double import Double as BigQueryDouble
from tests.connectors.databricks.double import Double as Warehouse
from tests.connectors.http.api_server import ApiServer
from tests.connectors.kafka.brokers import Topics
from tests.connectors.kafka.conftest import broker
from tests.connectors.kinesis.conftest import front, moto
from tests.connectors.kinesis.streams import KEY, REGION, Streams
from tests.connectors.mongodb.double import Double as MongoDouble
from tests.connectors.redshift.cluster import cluster, warehouse
from tests.connectors.snowflake.double import CREDENTIALS, Double
from tests.connectors.sql.mysql.market import certificates, mariadb, market
from tests.connectors.sql.postgresql.changes.origin import Origin, logical_server, origin
from tests.connectors.sql.postgresql.shop import server, shop
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import LOOPBACK
from tests.databases import Roles, new_copy
from tests.flows.runtime.shop import Notebook
from tests.second_database import SecondDatabase, network_postgres, second

__all__ = [
    "broker",
    "certificates",
    "cluster",
    "front",
    "logical_server",
    "mariadb",
    "market",
    "moto",
    "network_postgres",
    "origin",
    "second",
    "server",
    "shop",
    "warehouse",
]

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(
    path.parent for path in EXAMPLES.glob("*/*/pipeline.json") if path.parts[-3] != "targets"
)  # those are in tests/connectors/http/target/test_examples.py


def ids(folder: Path) -> str:
    return str(folder.relative_to(EXAMPLES))


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres) -> str:
    """The libpq URL of a database for all examples."""
    ensure_database(postgres_server.url("postgres"), "examples")
    return postgres_server.url("examples")


@pytest.fixture(scope="module")
def catalog(postgres_server: EmbeddedPostgres) -> Roles:
    """A catalog for examples that need one."""
    return new_copy(postgres_server, "examples_catalog", migrated=True)


@pytest.fixture
def database_url(database: str) -> str:
    """The same, with nothing in it that another example left."""
    with psycopg.connect(database) as connection:
        connection.execute("DROP SCHEMA IF EXISTS _headrace, dlq CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return database


@pytest.mark.postgres
@pytest.mark.parametrize("folder", FOLDERS, ids=ids)
def test_an_example_gives_what_it_promises(
    folder: Path, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    expected = (folder / "expected.csv").read_text()
    columns = next(csv.reader(StringIO(expected)))
    with psycopg.connect(database_url) as connection:
        connection.execute(_tables(folder, columns))
    elsewhere = _elsewhere(folder, request)
    named = {} if elsewhere is None else {_record_name(folder): elsewhere.connector("conn_2")}
    recorder = Notebook()
    for number, path in enumerate(_inputs(folder), 1):
        connector = _connector(folder, path, tmp_path, request)
        recorder = Notebook()
        job = _job(folder, f"run_{number}", database_url, tmp_path, connector)
        catalog_url = request.getfixturevalue("catalog").run if connector.type == "webhook" else ""
        job = replace(job, pipeline=replace(job.pipeline, named=named), catalog_url=catalog_url)
        if job.pipeline.execution_config.get("mode") == "streaming":
            _epoch(job, recorder)
            continue
        arrival = asyncio.run(arrive(job, recorder))
        execution = Execution(prepare(arrival.job), recorder)
        run_in_threads(execution)
        arrival.completed(execution.prepared.sources)
    assert _table(database_url, "ds_result", columns) == expected
    for beside in folder.glob("expected.*.csv"):
        table = beside.name.removeprefix("expected.").removesuffix(".csv")
        promised = beside.read_text()
        there = database_url
        if elsewhere is not None and table.startswith("connection."):
            there, table = elsewhere.superuser, table.removeprefix("connection.")
        assert _table(there, table, next(csv.reader(StringIO(promised)))) == promised
    errors = folder / "expected_errors.csv"
    assert _errors(recorder) == (errors.read_text() if errors.exists() else "Row,Column,Value,Error\n")


@pytest.mark.parametrize("folder", FOLDERS, ids=ids)
def test_an_example_is_a_sound_document_and_is_listed(folder: Path) -> None:
    parsed = parse_ir(json.loads((folder / "pipeline.json").read_text()))
    assert parsed.problems == []
    assert parsed.ir is not None
    assert check_types(parsed.ir) == []
    assert f"[`{folder.name}`]({ids(folder)})" in (EXAMPLES / "README.md").read_text()


def _elsewhere(folder: Path, request: pytest.FixtureRequest) -> SecondDatabase | None:
    """The database of the connector that a target names."""
    if not (folder / "connection.json").exists():
        return None
    found: SecondDatabase = request.getfixturevalue("second")
    for statement in (folder / "schema.connection.sql").read_text().split(";\n"):
        found.alter(statement)
    return found


def _record_name(folder: Path) -> str:
    return str(json.loads((folder / "connection.json").read_text())["name"])


def _inputs(folder: Path) -> list[Path]:
    return sorted(folder.glob("input*"), key=lambda path: (len(path.name), path.name))


def _named(path: Path) -> str:
    """`input.csv` for `input.2.csv`, `input.jsonl.gz` for itself."""
    return "input" + "".join(suffix for suffix in path.suffixes if not suffix[1:].isdigit())


def _tables(folder: Path, columns: list[str]) -> Any:
    written = folder / "schema.sql"
    if written.exists():
        return written.read_text()
    fields = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in columns)
    return sql.SQL("CREATE TABLE public.ds_result ({})").format(fields)


def _connector(folder: Path, file: Path, files_root: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """What the example reads through, with the file there."""
    if folder.name == "csv_upload":
        with Uploads(FilesRoot(files_root), "conn_1").receiving(_named(file)) as receiver:
            receiver.take(file.read_bytes())
        return ConnectorRecord("conn_1", "csv_upload", {}, {})
    if folder.name == "local_fs":
        (files_root / "incoming").mkdir(exist_ok=True)
        shutil.copy(file, files_root / "incoming" / _named(file))
        return ConnectorRecord("conn_1", "local_fs", {}, {})
    if not (folder / "connector.json").exists():
        shutil.copy(file, files_root / _named(file))
        return ConnectorRecord("conn_1", "local_fs", {}, {"salt": "a salt of the example"})
    if folder.name == "postgresql_changes":
        origin: Origin = request.getfixturevalue("origin")
        origin.make(*(each for each in file.read_text().split(";\n") if each.strip()))
        return origin.record
    if file.suffix == ".sql":  # a database in which it is executed
        kind = json.loads((folder / "connector.json").read_text())["type"]
        if kind == "snowflake":
            return _snowflake(file, request)
        if kind == "bigquery":
            return _bigquery(file, request)
        if kind == "databricks":
            return _databricks(file, request)
        if kind == "redshift":
            there = request.getfixturevalue("cluster")
            there.make(*filter(None, map(str.strip, file.read_text().split(";\n"))))
            return ConnectorRecord("conn_1", kind, there.config, there.credentials)
        shop = request.getfixturevalue({"postgresql": "shop", "mysql": "market"}[kind])
        shop.make(*(each for each in file.read_text().split(";\n") if each.strip()))
        return ConnectorRecord("conn_1", kind, shop.config, shop.credentials)
    if folder.name == "kafka":
        return _kafka(file, request)
    if folder.name == "kinesis":
        return _kinesis(file, request)
    if json.loads((folder / "connector.json").read_text())["type"] == "webhook":
        return _webhook(file, request)
    if folder.name == "mongodb":
        return _mongodb(file, request)
    if file.suffix == ".json":  # the records of an API
        return _api(file, request)
    there = made(folder.name, request)
    there.add("input.csv", file.read_bytes())
    return ConnectorRecord("conn_1", there.type, there.config, there.credentials)


def _snowflake(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """The double of an account, after its owner has run the statements of the file."""
    account: Double = request.getfixturevalue("snowflake_double")
    if file.name == "input.sql":
        account.clear()
    account.make(*filter(None, map(str.strip, file.read_text().split(";\n"))))
    return ConnectorRecord("conn_1", "snowflake", account.config, CREDENTIALS)


def _mongodb(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """The double of a server, with the documents of the file in its collection `orders`."""
    from bson import json_util

    server: MongoDouble = request.getfixturevalue("mongodb_double")
    if file.name == "input.jsonl":
        server.clear()
    for line in file.read_text().splitlines():
        document = json_util.loads(line)
        server.database.orders.replace_one({"_id": document["_id"]}, document, upsert=True)
    return ConnectorRecord("conn_1", "mongodb", server.config, server.credentials)


def _bigquery(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """The double of a project, after its owner has run the statements of the file."""
    project: BigQueryDouble = request.getfixturevalue("bigquery_double")
    if file.name == "input.sql":
        project.clear()
    project.make(*filter(None, map(str.strip, file.read_text().split(";\n"))))
    return ConnectorRecord("conn_1", "bigquery", project.config, project.credentials)


def _databricks(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """The double of a warehouse, after its owner has run the statements of the file."""
    warehouse: Warehouse = request.getfixturevalue("databricks_double")
    warehouse.clear()
    warehouse.make(*filter(None, map(str.strip, file.read_text().split(";\n"))))
    return ConnectorRecord("conn_1", "databricks", warehouse.config, warehouse.credentials)


def _api(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """A server that gives the records page by page."""
    api = ApiServer()
    request.addfinalizer(api.close)
    api.key = ("Authorization", "Bearer t-of-the-example")
    lines = (line.strip().rstrip(",") for line in file.read_text().splitlines())
    api.records["orders"] = [line for line in lines if line.startswith("{")]
    config = {"url": api.url, "insecureLogin": True}
    return ConnectorRecord("conn_1", "rest_api", config, {"token": "t-of-the-example"})


def _kafka(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """A cluster, after the messages of the file (a key and a value on each line) were sent."""
    topics: Topics = request.getfixturevalue("broker")
    if file.name == "input.jsonl":
        topics.make("customers")
    for message in map(json.loads, file.read_text().splitlines()):
        value = message["value"]
        topics.put("customers", None if value is None else value.encode(), key=message["key"].encode())
    topics.flush()
    place = {"bootstrapServers": topics.servers, "securityProtocol": "PLAINTEXT"}
    return ConnectorRecord("conn_1", "kafka", place, {})


def _kinesis(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """A stream, after the records of the file (a key and data on each line) were put."""
    streams: Streams = request.getfixturevalue("moto")
    if file.name == "input.jsonl":
        streams.client.create_stream(StreamName="orders", ShardCount=1)
    for record in map(json.loads, file.read_text().splitlines()):
        streams.put("orders", record["data"].encode(), key=record["key"])
    place = {"streamName": "orders", "region": REGION, "endpoint": streams.url}
    return ConnectorRecord("conn_1", "amazon_kinesis", place, dict(KEY))


def _webhook(file: Path, request: pytest.FixtureRequest) -> ConnectorRecord:
    """A webhook, after the requests of the file (idempotency key, headers that are kept, body) were made."""
    spools = Spools(request.getfixturevalue("catalog"))
    with spools.engine.begin() as connection:
        made = connection.exec_driver_sql("SELECT max(id) FROM headrace.connectors").scalar()
    hook = spools.make() if file.name == "input.jsonl" else str(made)
    for sent in map(json.loads, file.read_text().splitlines()):
        store(spools.engine, hook, [delivery(sent["body"].encode(), sent["key"], sent["headers"])], ROOM)
    spools.close()
    return ConnectorRecord(hook, "webhook", {}, {})


def _epoch(job: Job, recorder: Notebook) -> None:
    """What a stream does when the records of a file have come."""
    stream = Stream(job, recorder, lambda prepared, epoch: None)
    try:
        assert stream.step() is not None
        assert stream.step() is None
    finally:
        stream.close()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*/connector.json")), ids=lambda path: path.parent.name)
def test_an_examples_connector_has_what_its_type_needs(path: Path) -> None:
    given = json.loads(path.read_text())
    known = CONNECTOR_TYPES[given["type"]]
    assert known.problems(given["config"]) == []
    assert given["authMethod"] in known.auth_methods
    assert Draft202012Validator(known.auth_schema).is_valid(given["authConfig"])


def _job(folder: Path, run_id: str, database_url: str, files_root: Path, connector: ConnectorRecord) -> Job:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT 'public.' || tablename FROM pg_tables WHERE tablename LIKE 'ds\\_%'")
        tables = frozenset(name for (name,) in found)
    ir = json.loads((folder / "pipeline.json").read_text())
    written = folder / "execution.json"
    execution = json.loads(written.read_text()) if written.exists() else {}
    pipeline = RunPipeline("pipe_1", "default", folder.name, ir, 1, connector, execution, tables)
    continues = Continuation(root_run_id=run_id)
    return Job(run_id, pipeline, database_url, files_root, continues, networks=LOOPBACK)


def _table(database_url: str, table: str, columns: list[str]) -> str:
    """The rows of a table (in `public` unless it says otherwise) as CSV, sorted, so that the order in which partitions
    are loaded does not matter."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    numbers = sql.SQL(", ").join(sql.Literal(number) for number in range(1, len(columns) + 1))
    name = sql.Identifier(*(table if "." in table else f"public.{table}").split("."))
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)")
    with psycopg.connect(database_url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with connection.cursor() as cursor, cursor.copy(query.format(names, name, numbers)) as copy:
            return b"".join(bytes(part) for part in copy).decode()


def _errors(recorder: Notebook) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["Row", "Column", "Value", "Error"])
    writer.writerows(cell[1:] for cell in sorted(recorder.errors, key=lambda cell: (cell[1], cell[2] or "", cell[4])))
    return text.getvalue()
