"""Runs that exceed their memory limit, on a separate stack: each ends with a reason, and committed rows stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.bombs import write_bomb
from tests.conftest import RunningStack, started_stack
from tests.rest import Api, eventually

pytestmark = [pytest.mark.stack, pytest.mark.own_stack]

LIMIT = "640MB"


@pytest.fixture(scope="module")
def frugal_stack() -> Iterator[RunningStack]:
    """A stack whose runs may take LIMIT."""
    with started_stack(HEADRACE_RUN_MEMORY_LIMIT=LIMIT) as running:
        yield running


def flow_run(api: Api, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
    return found


@pytest.mark.slow
def test_a_run_that_needs_too_much_fails_with_a_sentence_everywhere_and_keeps_what_it_committed(
    frugal_stack: RunningStack,
) -> None:
    source = {"config": {"path": "bombs.parquet", "format": "parquet"}}
    api = Api(frugal_stack, None, source=source, fields=None, execution={"parallelism": 1}).create()
    write_bomb(frugal_stack.files_root / "bombs.parquet", "amount", "note", rows=190, before=1000)
    run_id = api.start()
    progress = api.finished(run_id)
    reason = api.detail(run_id)["failureReason"]
    assert progress["status"] == "failed"
    assert "HEADRACE_RUN_MEMORY_LIMIT" in reason
    assert "node '" in reason
    ended = eventually(lambda: run if (run := flow_run(api, run_id))["end_time"] else None)
    assert ended["state"]["type"] in ("FAILED", "CRASHED")
    assert ended["state"]["message"] == reason
    assert any(line["message"] == reason for line in api.progress(run_id)["log"])
    assert ended["run_count"] == 1  # nobody tries again unasked
    assert api.rows("SELECT count(*) FROM {table}")[0][0] in (0, 1000)

    # the stack has taken no harm
    harmless = Api(frugal_stack).create()
    assert harmless.run()["status"] == "completed_with_errors"
