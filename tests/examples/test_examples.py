"""Every folder of `examples/` does what it says: its pipeline loads its files into a real table.

A folder holds `pipeline.json` and `input.csv` (`input.2.csv`, … are loaded after it, each in a run of its own), and
`expected.csv`: what the table `public.ds_result` holds in the end; `expected.<table>.csv` says it of another.
`schema.sql` makes the tables; without it `ds_result` has the columns of `expected.csv`, as text.
`expected_errors.csv` are the errors of the last run, as the API gives them; without it there are none.
"""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from catalog.run_records import ConnectorRecord, RunPipeline
from deployments.stack.postgres import EmbeddedPostgres, ensure_database
from flows.check import check_types
from flows.resume import Continuation
from flows.runtime.execute import Execution, run_in_threads
from flows.runtime.job import Job
from flows.runtime.prepare import prepare
from ir import parse_ir
from tests.flows.runtime.test_execute import Notebook

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/*/pipeline.json"))


def ids(folder: Path) -> str:
    return str(folder.relative_to(EXAMPLES))


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres) -> str:
    """The libpq URL of a database for all examples."""
    ensure_database(postgres_server.url("postgres"), "examples")
    return postgres_server.url("examples")


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
def test_an_example_gives_what_it_promises(folder: Path, database_url: str, tmp_path: Path) -> None:
    expected = (folder / "expected.csv").read_text()
    columns = next(csv.reader(StringIO(expected)))
    with psycopg.connect(database_url) as connection:
        connection.execute(_tables(folder, columns))
    journal = Notebook()
    for number, path in enumerate(_inputs(folder), 1):
        shutil.copy(path, tmp_path / "input.csv")
        journal = Notebook()
        run_in_threads(Execution(prepare(_job(folder, f"run_{number}", database_url, tmp_path)), journal))
    assert _table(database_url, "ds_result", columns) == expected
    for beside in folder.glob("expected.*.csv"):
        table = beside.name.removeprefix("expected.").removesuffix(".csv")
        promised = beside.read_text()
        assert _table(database_url, table, next(csv.reader(StringIO(promised)))) == promised
    errors = folder / "expected_errors.csv"
    assert _errors(journal) == (errors.read_text() if errors.exists() else "Row,Column,Value,Error\n")


@pytest.mark.parametrize("folder", FOLDERS, ids=ids)
def test_an_example_is_a_sound_document_and_is_listed(folder: Path) -> None:
    parsed = parse_ir(json.loads((folder / "pipeline.json").read_text()))
    assert parsed.problems == []
    assert parsed.ir is not None
    assert check_types(parsed.ir) == []
    assert f"[`{folder.name}`]({ids(folder)})" in (EXAMPLES / "README.md").read_text()


def _inputs(folder: Path) -> list[Path]:
    return sorted(folder.glob("input*.csv"), key=lambda path: (len(path.name), path.name))


def _tables(folder: Path, columns: list[str]) -> Any:
    written = folder / "schema.sql"
    if written.exists():
        return written.read_text()
    fields = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in columns)
    return sql.SQL("CREATE TABLE public.ds_result ({})").format(fields)


def _job(folder: Path, run_id: str, database_url: str, files_root: Path) -> Job:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT 'public.' || tablename FROM pg_tables WHERE tablename LIKE 'ds\\_%'")
        tables = frozenset(name for (name,) in found)
    ir = json.loads((folder / "pipeline.json").read_text())
    connector = ConnectorRecord("conn_1", "local_fs", {}, {"salt": "a salt of the example"})
    pipeline = RunPipeline("pipe_1", "default", folder.name, ir, 1, connector, {}, tables)
    return Job(run_id, pipeline, database_url, files_root, Continuation(root_run_id=run_id))


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


def _errors(journal: Notebook) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["Row", "Column", "Value", "Error"])
    writer.writerows(cell[1:] for cell in sorted(journal.errors, key=lambda cell: (cell[1], cell[2] or "", cell[4])))
    return text.getvalue()
