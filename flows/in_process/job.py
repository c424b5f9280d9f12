"""The job of an in-process run: files below one folder, tables of the schema `public`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.postgresql.connections import connect
from headrace.flows.dry_run.plan import preview_job
from headrace.flows.runtime.job import Job
from headrace.ir.parameters import ParameterValue

_TABLES = """
SELECT n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
"""


def local_job(pipeline: RunPipeline, files_root: Path, database_url: str, parameters: dict[str, ParameterValue]) -> Job:
    """A job whose file sources cannot leave `files_root` and that may use any table of the schema `public`, which the
    holder of the database's URL can access anyway. Raises psycopg.Error."""
    if database_url:
        with connect(database_url, autocommit=True) as connection:
            tables = frozenset(name for (name,) in connection.execute(_TABLES).fetchall())
        pipeline = replace(pipeline, tables=tables)
    root = FilesRoot(files_root.absolute())
    return preview_job(pipeline, database_url=database_url, files_root=root, parameters=parameters)
