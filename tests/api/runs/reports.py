"""Runs in the catalog as a worker would report them."""

from __future__ import annotations

import json

from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.runs.records import PartitionStatus
from tests.api.conftest import Facade, created


def path(pipeline: str, *rest: str) -> str:
    return "/".join([f"{BASE_PATH}/pipelines/{pipeline}", *rest])


def begin(facade: Facade, pipeline: str, *partitions: tuple[int, int, int]) -> str:
    """A run that has been requested and planned."""
    run_id = str(created(facade.editor, path(pipeline, "run"), {})["id"])
    total = sum(rows for _, _, rows in partitions)
    facade.store.started(run_id, total_rows=total, fingerprint={}, plan={}, partitions=partitions)
    return run_id


def report(
    facade: Facade, run_id: str, index: int, status: PartitionStatus, rows: int, *, failed: int = 0, skipped: int = 0
) -> None:
    facade.store.counts.report(
        run_id,
        0,
        index,
        status=status,
        rows_in=rows,
        rows_out=rows - failed - skipped,
        failed=failed,
        skipped=skipped,
        nodes={"src": {"rowsIn": rows}, "tgt": {"rowsOut": rows - failed - skipped}},
    )


def reject(facade: Facade, run_id: str, cells: list[tuple[int, str | None, str | None, str]]) -> None:
    named = [dict(zip(("row", "column", "value", "error"), cell, strict=True)) | {"rule": "rule"} for cell in cells]
    stored = json.dumps([each | {"column": each["column"] or ""} for each in named])
    facade.store.cells.add(run_id, run_id, "check", 0, 0, cells=stored)


def age(facade: Facade, run_id: str, seconds: int) -> None:
    """Moves all reports of the run into the past."""
    with facade.engine.begin() as connection:
        for table, column, key in (
            ("pipeline_runs", "created_at", "id"),
            ("pipeline_runs", "started_at", "id"),
            ("pipeline_runs", "measured_from", "id"),
            ("run_partitions", "updated_at", "run_id"),
        ):
            connection.execute(
                text(f"UPDATE headrace.{table} SET {column} = {column} - make_interval(secs => :s) WHERE {key} = :id"),
                {"s": seconds, "id": run_id},
            )
