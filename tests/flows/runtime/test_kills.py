"""A process that is killed with signal 9 between any two steps, whatever the source can give again: the retry is exact.

`test_restart_kinds` ends attempts by an exception, at every step and in many orders; here nothing gets the chance to
clean up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.source import Restart
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.world import Mill, target, transform
from tests.flows.runtime.shelf import Shelf

pytestmark = pytest.mark.postgres

_DIES = """
import json, os, signal, sys
from pathlib import Path
import pytest
from headrace.connectors.source import Restart
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.dying import Bomb, armed
from tests.flows.runtime.graphs.world import Mill
from tests.flows.runtime.shelf import Shelf

given = json.loads(Path(sys.argv[1]).read_text())

class Fatal(Bomb):
    def step(self):
        if next(self.steps) == given["at"]:
            os.kill(os.getpid(), signal.SIGKILL)

mill = Mill(Path(given["root"]), given["url"])
with pytest.MonkeyPatch.context() as patch:
    Shelf({int(key): value for key, value in given["rows"].items()}, restart=Restart(given["restart"])).put(patch)
    run = mill.execution(given["nodes"], "run_1", batch=30)
    with armed(Fatal(given["at"])):
        run_in_threads(run)
"""


@pytest.fixture
def mill(tmp_path: Path, database_url: str) -> Mill:
    files = tmp_path / "files"
    files.mkdir()
    found = Mill(files, database_url)
    found.table("one", "id bigint, amount integer")
    found.table("keyed", "id bigint PRIMARY KEY, amount integer")
    return found


def nodes_of(shape: str) -> list[dict[str, Any]]:
    src = Shelf().node()
    if shape == "upsert":
        return [src, target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    if shape == "deduplicate":
        return [src, transform("dd", "src", {"type": "deduplicate", "keys": ["id"]}), target("tgt", "dd", "one")]
    return [src, target("tgt", "src", "one")]


def attempt(mill: Mill, folder: Path, **given: Any) -> int:
    """The exit code of a run in a process of its own."""
    file = folder / "given.json"
    file.write_text(json.dumps({**given, "root": str(mill.root), "url": mill.url}))
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(file)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


_FEW = {(7, "append", Restart.BOUNDARY), (7, "append", Restart.NONE), (17, "upsert", Restart.BOUNDARY)}
"""Those that `make test` tries; `make test-all` tries every step."""
EVERY = [
    pytest.param(at, shape, restart, marks=() if (at, shape, restart) in _FEW else pytest.mark.slow)
    for at in range(40)
    for shape in ("append", "upsert", "deduplicate")
    for restart in Restart
]


@pytest.mark.parametrize(("at", "shape", "restart"), EVERY)
@pytest.mark.first_variant
def test_killed_between_two_steps_and_retried(
    mill: Mill, tmp_path: Path, at: int, shape: str, restart: Restart
) -> None:
    rows, nodes = {key: str(key % 7) for key in range(1, 301)}, nodes_of(shape)
    with pytest.MonkeyPatch.context() as patch:
        shelf = Shelf(dict(rows), restart=restart)
        shelf.put(patch)
        planned = stored_plan(mill.execution(nodes, "run_1", batch=30).prepared)
        code = attempt(mill, tmp_path, at=at, restart=restart, rows=rows, nodes=nodes)
        with psycopg.connect(mill.url) as connection:
            begun = connection.execute(
                "SELECT FROM _headrace.ledger UNION ALL SELECT FROM _headrace.staging_ledger LIMIT 1"
            ).fetchone()
        if code == 0:
            assert at > 10, "most steps are before the end"
            return
        if restart is not Restart.EXACT:  # a live source changes meanwhile
            for key in (10, 150, 290):
                del shelf.rows[key]
        run = mill.execution(nodes, "run_2", root="run_1", earlier=planned if begun is not None else None, batch=30)
        run_in_threads(run)
    loaded = [
        key for (key,) in mill.rows(f"SELECT id FROM public.{'keyed' if shape == 'upsert' else 'one'} ORDER BY 1")
    ]
    assert len(loaded) == len(set(loaded)), "no row twice"
    assert set(shelf.rows) <= set(loaded) <= set(rows), "no row lost"
