"""Stages that exchange rows through an object store: nothing else is shared, and a run continues on another machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.staging import scratch
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.crashing import check, check_tables, fill, nodes
from tests.flows.runtime.graphs.world import Mill
from tests.object_store import ObjectStore

pytestmark = pytest.mark.postgres

_DIES = """
import os, sys
from pathlib import Path
from headrace.flows.compile import shuffle
from headrace.flows.runtime.shuffle import buckets
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.graphs.crashing import nodes
from tests.flows.runtime.graphs.world import Mill

shuffle._ONE_BUCKET_ROWS = 0
buckets.BATCH_ROWS = 4
reads = buckets.BucketInput.read

def read(feed, rows_done, position):
    for number, batch in enumerate(reads(feed, rows_done, position)):
        if number == 6:  # the first of its rows are loaded
            os.kill(os.getpid(), 9)
        yield batch

buckets.BucketInput.read = read
mill = Mill(Path(sys.argv[1]), sys.argv[2])
mill.staging = sys.argv[3]
run_in_threads(mill.execution(nodes(), parallelism=2, batch=97))
"""


@pytest.fixture(autouse=True)
def url(mill: Mill, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("headrace.flows.compile.shuffle._ONE_BUCKET_ROWS", 0)
    mill.staging = object_store.url()
    return mill.staging


@pytest.mark.parametrize("piece_bytes", [1 << 26, 1_000])
def test_a_graph_runs_with_nothing_but_an_object_store_between_its_stages(
    mill: Mill, object_store: ObjectStore, url: str, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr("headrace.flows.runtime.shuffle.pieces.PIECE_BYTES", piece_bytes)
    fill(mill)
    others = set(scratch.scratch_folder().iterdir())  # of earlier tests of this process
    mill.run(nodes(), batch=97)
    check(mill)
    assert object_store.names(url) == []
    put = [path for method, path in object_store.asked if method == "PUT" and url.removeprefix("s3:/") in path]
    assert len(put) > 20
    assert set(scratch.scratch_folder().iterdir()) <= others


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_in_another_folder(
    mill: Mill, object_store: ObjectStore, url: str, tmp_path: Path
) -> None:
    fill(mill)
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", _DIES, str(mill.root), mill.url, url],
        cwd=elsewhere,
        env=os.environ | {"TMPDIR": str(elsewhere), "PYTHONPATH": str(Path(__file__).parents[4])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    evaluated = [name for name in object_store.names(url) if "/rows-" in name]
    assert evaluated
    loaded = [len(mill.rows(f"SELECT FROM {table}")) for table in ("big", "small", "latest")]
    assert 0 < sum(loaded) < 392
    asked = len(object_store.asked)

    again = mill.execution(nodes(), "run_2", root="run_1", earlier=stored_plan(mill.execution(nodes()).prepared))
    totals = run_in_threads(again)
    check_tables(mill)
    assert totals.rows_in == 436
    written = {path for method, path in object_store.asked[asked:] if method == "PUT"}
    assert not [name for name in evaluated if any(path.endswith(name) for path in written)]  # what was done, is kept
    assert object_store.names(url) == []
