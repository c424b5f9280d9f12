"""Test pipelines: run a document on given rows and compare what it loads.

    import pytest
    from headrace import Pipeline
    from headrace.testing import land, postgres

    @pytest.fixture(scope="session")
    def server():
        with postgres() as url:
            yield url

    def test_nameless_orders_are_kept_apart(server):
        pipeline = Pipeline.from_yaml("pipelines/orders.yaml")
        landed = land(pipeline, {"src": "id,name\\n1,Ann\\n2,\\n"}, server=server)
        assert landed.rows("public.ds_orders") == [{"id": 1, "name": "Ann"}]
        assert landed.errors.select("row", "column").rows() == [(2, "name")]

`SourceConformance` has the tests that every source passes, for authors of connectors: see its docstring.

`postgres` needs the extra 'local'. `land` needs the extra 'engine' and a PostgreSQL server where it may create
databases.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import require
from headrace.ir.parameters import ParameterValue
from headrace.pipeline import LOCAL_FILES, Pipeline, PipelineResult

if TYPE_CHECKING:
    import polars as pl

    from headrace.connectors.conformance import SourceConformance

__all__ = ["Landed", "SourceConformance", "land", "postgres"]

_OURS = "_headrace_load_id"


def __getattr__(name: str) -> Any:
    """Imports the tests of sources on first use, because they need polars."""
    if name == "SourceConformance":
        require("engine", "headrace.testing.SourceConformance")
        from headrace.connectors.conformance import SourceConformance

        return SourceConformance
    raise AttributeError(f"module 'headrace.testing' has no attribute '{name}'")


@dataclass(frozen=True, slots=True)
class Landed:
    """The result of `land`. `tables` by their names in the document, without Headrace's own column; all rejected cells
    in `errors` (node, row, column, value, error, rule, warning); row counts in `result`."""

    tables: Mapping[str, pl.DataFrame]
    errors: pl.DataFrame
    result: PipelineResult

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table as dicts, ordered by all columns from left to right, nulls last."""
        found = self.tables[table]
        return found.sort(found.columns, nulls_last=True).to_dicts() if found.width else []


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Starts a temporary PostgreSQL server for the duration of the `with` block, and yields its libpq URL."""
    require("local", "headrace.testing.postgres")
    from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    server = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log", DISPOSABLE)
    try:
        server.start()
        yield server.url("postgres")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def land(
    pipeline: Pipeline,
    sources: Mapping[str, str | bytes | pl.DataFrame],
    *,
    server: str,
    tables: str = "",
    parameters: Mapping[str, ParameterValue] | None = None,
) -> Landed:
    """Runs the pipeline in a temporary database on `server`. `sources` has the file of each source node: its text or
    bytes, or a frame, which is written in the format of the path's suffix (.csv or .parquet).

    Tables are created from the schemas in the pipeline's source; `tables` is SQL that runs before. Raises
    PipelineFailed when the run fails, PipelineInvalid, and HeadraceError when a source cannot be given as content.
    """
    require("engine", "headrace.testing.land")

    with tempfile.TemporaryDirectory(prefix="headrace-") as files, contextlib.ExitStack() as stack:
        for node, content in sources.items():
            _write(Path(files), _path(pipeline, node), content)
        url = stack.enter_context(_database(server))
        if tables:
            _execute(url, tables)
        pipeline.create_tables(url)
        result = pipeline.run(files_root=files, database_url=url, parameters=parameters)
        nodes = pipeline.document["nodes"]
        targets = [each["schema"] for each in nodes if each["kind"] == "target" and "schema" in each]
        found: dict[str, pl.DataFrame] = {name: _read(url, name) for name in targets}
        return Landed(found, result.errors(limit=None), result)


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    name = f"headrace_test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _path(pipeline: Pipeline, node: str) -> str:
    found = next((each for each in pipeline.document["nodes"] if each["id"] == node), None)
    if found is None or found["kind"] != "source":
        raise HeadraceError(f"There is no source node '{node}' in {pipeline!r}.")
    path = found.get("config", {}).get("path")
    if found["connector"] != LOCAL_FILES or not isinstance(path, str):
        raise HeadraceError(f"The source '{node}' does not read one local file.", "Only those can be given as content.")
    return path


def _write(files: Path, path: str, content: str | bytes | pl.DataFrame) -> None:
    place = (files / path).resolve()
    if not place.is_relative_to(files.resolve()):
        raise HeadraceError(f"The path '{path}' leads out of the files folder.")
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str | bytes):
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    elif place.suffix == ".parquet":
        content.write_parquet(place)
    elif place.suffix == ".csv":
        content.write_csv(place)
    else:
        raise HeadraceError(f"A frame can be written as .csv or .parquet, not as '{path}'.", "Give text or bytes.")


def _execute(url: str, statements: str) -> None:
    import psycopg

    with psycopg.connect(url, options="-c search_path=public") as connection:
        connection.execute(statements.encode())


def _read(url: str, name: str) -> pl.DataFrame:
    import polars as pl
    import psycopg
    from psycopg import sql

    with psycopg.connect(url) as connection:
        cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*name.split(".", 1))))
        columns = [each.name for each in cursor.description or ()]
        found = pl.DataFrame(cursor.fetchall(), schema=columns, orient="row", infer_schema_length=None)
    return found.drop(_OURS, strict=False)
