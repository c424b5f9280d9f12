"""A run that waits for a lock in PostgreSQL names who holds it, and a cancelled one does not stay in the queue."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

_BEFORE_IT_IS_KILLED_S = 25  # the worker kills what has not ended after 30


def test_who_holds_the_lock_is_said_and_cancel_ends_the_wait(stack: RunningStack) -> None:
    with (
        closing(Api(stack).create()) as api,
        psycopg.connect(stack.database_url, application_name="somebody at psql") as holder,
        psycopg.connect(stack.database_url, autocommit=True) as looks,
    ):
        holder.execute(f"LOCK TABLE {api.table} IN ACCESS EXCLUSIVE MODE".encode())
        run_id = api.start()

        def reported() -> str | None:
            lines = [line["message"] for line in api.progress(run_id)["log"]]
            return next((line for line in lines if "waits for a lock" in line), None)

        line = eventually(reported)
        assert f"on {api.table}" in line
        assert f"held by somebody at psql (pid {holder.info.backend_pid}" in line

        def waiting() -> dict[str, Any] | None:
            flow_run = stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
            return flow_run["state"] if (flow_run["state"]["message"] or "").startswith("Waiting: ") else None

        assert eventually(waiting)["message"] == f"Waiting: {line}"

        asked = time.monotonic()
        assert api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel").status_code == 202
        progress = api.finished(run_id)
        assert progress["status"] == "failed"

        def nothing_queued() -> bool | None:
            found = looks.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (f"headrace {run_id}",)
            ).fetchone()
            return True if found == (0,) else None

        assert eventually(nothing_queued)
        assert time.monotonic() - asked < _BEFORE_IT_IS_KILLED_S
        holder.rollback()
