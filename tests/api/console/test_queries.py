"""Pages ask the database as often for many objects as for few: what is counted are queries, not seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.api.conftest import Facade
from tests.api.console.people import People
from tests.api.console.worlds import World, more_pipelines, new_world

pytestmark = pytest.mark.postgres

MOST = 20
"""Queries of a page. It is not a goal: a page that needs more should say why here."""


@contextmanager
def counted(facade: Facade) -> Iterator[list[str]]:
    """The statements of the application while entered."""
    engine, found = facade.app.state.services.engine, list[str]()

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        found.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def many_runs(facade: Facade, world: World) -> None:
    statement = text(
        "INSERT INTO headrace.pipeline_runs (id, tenant_id, pipeline_id, ir_version, root_run_id, status, load_strategy"
        ", rows_out) SELECT 'run_' || md5(p.id || '-' || n), p.tenant_id, p.id, 1, 'run_' || md5(p.id || '-' || n),"
        " 'failed', 'append', n FROM headrace.pipelines p, generate_series(1, 40) n WHERE p.tenant_id = 'default'"
    )
    with facade.engine.begin() as connection:
        connection.execute(statement)
        connection.execute(
            text(
                "UPDATE headrace.pipelines SET last_run_status = 'failed', last_run_at = now(), live_schedule ="
                """ '{"kind": "cron", "expression": "0 2 * * *", "timezone": "UTC"}'"""
            )
        )


def many_errors(facade: Facade, world: World) -> None:
    rows = list(range(100, 2100))
    columns: list[str | None] = [f"c{row % 50}" for row in rows]
    values: list[str | None] = [str(row) for row in rows]
    texts = ["Bad"] * len(rows)
    rules = [f"rule{row % 7}" for row in rows]
    names = ("row", "column", "value", "error", "rule")
    cells = [dict(zip(names, cell, strict=True)) for cell in zip(rows, columns, values, texts, rules, strict=True)]
    facade.store.cells.add(world.run_id, world.run_id, "check", 0, 0, cells=json.dumps(cells))
    partitions = [(1, index, 10) for index in range(300)]
    with facade.engine.begin() as connection:
        for stage, index, planned in partitions:
            connection.execute(
                text(
                    "INSERT INTO headrace.run_partitions (run_id, stage, index, planned_rows, status)"
                    " VALUES (:run, :stage, :index, :planned, 'completed')"
                ),
                {"run": world.run_id, "stage": stage, "index": index, "planned": planned},
            )


PATHS: dict[str, Callable[[World], str]] = {
    "home": lambda _: "/",
    "search": lambda _: "/?q=a",
    "pipeline": lambda world: f"/pipelines/{world.pipeline_id}",
    "versions": lambda world: f"/pipelines/{world.pipeline_id}/versions",
    "run": lambda world: f"/runs/{world.run_id}",
    "live": lambda world: f"/runs/{world.run_id}/live",
    "errors": lambda world: f"/runs/{world.run_id}/errors",
    "groups": lambda world: f"/runs/{world.run_id}/errors/groups?node=check",
}


@pytest.mark.parametrize("name", PATHS)
def test_many_objects_need_no_more_queries_than_few(facade: Facade, people: People, name: str) -> None:
    world = new_world(facade)
    path = PATHS[name](world)
    people.viewer.get(path)
    with counted(facade) as few:
        assert people.viewer.get(path).status_code == 200
    more_pipelines(facade, world.pipeline_id, 60)
    many_runs(facade, world)
    many_errors(facade, world)
    with counted(facade) as many:
        assert people.viewer.get(path).status_code == 200
    assert len(many) <= len(few) + 3, many  # what there was none of before: schedules, bad ends
    assert len(many) <= MOST, many
