"""A process that sends rows to an API and is killed with signal 9 between any two steps: what the retry sends again.

The API server is in the test's process and outlives the run, so that it knows what it has taken.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import Continuation
from tests.connectors.http.api_server import ApiServer, Failure
from tests.connectors.http.taking import Taking
from tests.connectors.http.target.sending import PATH, config, job_of, nodes, retried, run, write
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

ROWS = 25
STEPS = 14
"""With three requests of a batch: each of begin, send (before and after), and the last records."""

_DIES = """
import os, signal, sys
from dataclasses import replace
from itertools import count
from pathlib import Path
import json
from headrace.connectors.http.target import loader, target
from headrace.flows.resume.continuation import Continuation
from tests.connectors.http.target.sending import job_of, run
from tests.flows.runtime.runs import Runner

given = json.loads(Path(sys.argv[1]).read_text())
steps = count()

def around(work):
    def watched(*args, **kwargs):
        die()
        found = work(*args, **kwargs)
        die()
        return found
    return watched

def die():
    if next(steps) == given["at"]:
        os.kill(os.getpid(), signal.SIGKILL)

target.Api.delivered = around(target.Api.delivered)
loader.ApiLoader._record = around(loader.ApiLoader._record)
loader.ApiLoader._commit = around(loader.ApiLoader._commit)
runner = Runner(Path(given["files"]), given["url"])

class Server:
    url = given["api"]

job = job_of(runner, Server, given["nodes"])
job = replace(job, run_id="run_1", continues=Continuation(root_run_id="run_1"))
run(job, runner)
"""


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    files = tmp_path / "files"
    files.mkdir()
    write(files, [(number, f"n{number}") for number in range(1, ROWS + 1)])
    return Runner(files, database_url)


def killed(runner: Runner, api: ApiServer, listed: list[dict[str, Any]], at: int) -> bool:
    """Whether a run in a process of its own was killed at this step; else it has ended."""
    file = runner.files.parent / "given.json"
    given = {"files": str(runner.files), "url": runner.url, "api": api.url, "nodes": listed, "at": at}
    file.write_text(json.dumps(given))
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(file)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def retry(runner: Runner, api: ApiServer, listed: list[dict[str, Any]]) -> Any:
    """The totals of a retry of that run."""
    first = replace(job_of(runner, api, listed), run_id="run_1", continues=Continuation(root_run_id="run_1"))
    runner.recorder.lines.clear()
    return run(retried(first, "run_2"), runner)


@pytest.mark.parametrize("at", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in range(STEPS) if n != 5)])
@pytest.mark.parametrize(
    "way", ["key", pytest.param("resend", marks=pytest.mark.slow), pytest.param("fail", marks=pytest.mark.slow)]
)
def test_what_a_killed_run_has_sent(api: ApiServer, runner: Runner, at: int, way: str) -> None:
    keys = "Idempotency-Key" if way == "key" else None
    given = {"idempotencyHeader": keys} if keys else {"onUnknown": way}
    taking = Taking(keys=keys, bad=lambda record: "no" if record["id"] == 12 else None).put(api, PATH)
    listed = nodes(config(**given))
    assert killed(runner, api, listed, at)
    before = Counter(each["id"] for each in taking.taken)
    with psycopg.connect(runner.url) as connection:
        found = connection.execute("SELECT row_numbers FROM _headrace.sent_requests WHERE state = 'sending'")
        unknown = {row for (rows,) in found for row in rows}
    if way == "fail" and unknown:
        with pytest.raises(TargetError, match="not known whether the API has taken them") as caught:
            retry(runner, api, listed)
        assert Counter(each["id"] for each in taking.taken) == before  # nothing was sent
        if unknown - {12} <= set(before):  # a person looks there, and follows the hint
            statement = caught.value.hint.partition("If it has: ")[2].partition(" If it has not")[0]
        else:
            statement = "DELETE FROM _headrace.sent_requests WHERE state = 'sending'"
        with psycopg.connect(runner.url) as connection:
            connection.execute(statement.encode())
    totals = retry(runner, api, listed)
    taken = Counter(each["id"] for each in taking.taken)
    assert {*taken} == {*range(1, ROWS + 1)} - {12}
    twice = {row for row, count in taken.items() if count > 1}
    if way == "resend":
        assert twice <= unknown
        shown = [line for line in runner.recorder.lines if "may have" in line]
        assert bool(shown) == bool(unknown)
        if unknown:
            assert f"rows {min(unknown)} to {max(unknown)}" in shown[0]
    else:
        assert not twice
    if way != "fail":
        assert (totals.rows_out, totals.failed) == (ROWS - 1, 1)
    with psycopg.connect(runner.url) as connection:
        assert connection.execute("SELECT count(*) FROM _headrace.sent_requests").fetchone() == (0,)


def test_the_last_step_ends_the_run(api: ApiServer, runner: Runner) -> None:
    """All steps of a run are among those at which it was killed."""
    Taking().put(api, PATH)
    assert killed(runner, api, nodes(config()), STEPS - 1)
    assert not killed(runner, api, nodes(config()), 10 * STEPS)


@pytest.mark.parametrize("cut", [True, False])
def test_a_request_without_an_answer_is_sent_again_and_reported(api: ApiServer, runner: Runner, *, cut: bool) -> None:
    taking = Taking().put(api, PATH)
    api.failures = [Failure(200, cut=True) if cut else Failure(502)]
    totals = run(job_of(runner, api, nodes(config())), runner)
    assert (totals.rows_out, len(taking.taken)) == (ROWS, ROWS)
    shown = [line for line in runner.recorder.lines if "may have them twice" in line]
    assert "rows 1 to 10 of partition 1" in shown[0]
    assert "10 rows were sent again" in shown[1]


def test_a_request_without_an_answer_ends_the_run_where_asked(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, PATH)
    api.failures = [Failure(502)]
    with pytest.raises(TargetError) as caught:
        run(job_of(runner, api, nodes(config(onUnknown="fail"))), runner)
    assert caught.value.code == "outcome_unknown"
    assert (len(api.asked), taking.taken) == (1, [])


def test_two_processes_do_not_send_the_same_partition(api: ApiServer, runner: Runner) -> None:
    """The second one stops before it sends."""
    taking = Taking().put(api, PATH)
    job = job_of(runner, api, nodes(config()))
    taking.after = lambda number: _take_over(runner, job.root_run_id) if number == 1 else None
    with pytest.raises(TargetError) as caught:
        run(job, runner)
    assert caught.value.code == "ledger_moved"
    assert len(taking.requests) == 1


def _take_over(runner: Runner, load_key: str) -> None:
    with psycopg.connect(runner.url) as connection:
        connection.execute(
            "INSERT INTO _headrace.sent_requests (load_key, target_node, stage, partition, number, request_id, run_id, "
            "row_numbers, digests) SELECT load_key, target_node, stage, partition, number + 1, 'x', run_id, '{}', '{}' "
            "FROM _headrace.sent_requests WHERE load_key = %s",
            (load_key,),
        )


def test_rows_that_changed_since_they_were_sent_are_sent_as_they_are_now(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, PATH)
    listed = nodes(config(), loadMode="upsert", upsertKey="id")
    assert run(job_of(runner, api, listed), runner).rows_out == ROWS
    write(runner.files, [(1, "other")])
    assert killed(runner, api, listed, 3)  # sent, and not recorded
    assert len(taking.taken) == ROWS + 1
    write(runner.files, [(1, "n1")])  # as before that run
    assert run(job_of(runner, api, listed), runner).rows_out == 1
    assert taking.taken[-1] == {"id": 1, "name": "n1"}
