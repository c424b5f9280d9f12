"""A stream that dies, between any two steps of an epoch and between two epochs, and is continued; failed rows of all
epochs that are run again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import find_open_rows
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.world import Mill, target, transform
from tests.flows.runtime.shelf import Shelf
from tests.flows.runtime.streaming.shapes import SHAPES, ids, mill, nodes_of
from tests.flows.runtime.streaming.tide import Tide, all_of

__all__ = ["mill"]
pytestmark = pytest.mark.postgres


def dies(tide: Tide, bomb: Bomb) -> bool:
    """Three epochs, of which one dies at the bomb's step; whether it did."""
    stream = tide.stream()
    with armed(bomb):
        try:
            for turn in range(3):
                tide.comes(15 * turn + 1, 15 * turn + 15)
                all_of(stream)
        except (Killed, Exception):
            if not bomb.went_off:
                raise
    return bomb.went_off


_STEPS = [*range(0, 120, 11)]


@pytest.mark.parametrize(
    "shape", [each if each in ("append", "upsert") else pytest.param(each, marks=pytest.mark.slow) for each in SHAPES]
)
@pytest.mark.parametrize("at", [at if at in (11, 44) else pytest.param(at, marks=pytest.mark.slow) for at in _STEPS])
def test_a_stream_that_dies_goes_on_with_its_epoch(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, shape: str, at: int
) -> None:
    tide = Tide.over(mill, nodes_of(shape), monkeypatch)
    died = dies(tide, Bomb(at))
    newest = StoredPlan.of(tide.plan)
    tide.comes(1, 60)
    begun = mill.rows(
        "SELECT count(*) > 0 FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) l "
        f"WHERE root_run_id = 'run_1.{newest.epoch.number if newest and newest.epoch else 0}'"
    )
    stream = tide.goes_on(bound=begun == [(True,)])
    all_of(stream)
    assert ids(mill, shape) == list(range(1, 61))
    if shape == "fork":
        assert mill.rows("SELECT count(*), count(DISTINCT id) FROM public.two") == [(60, 60)]
    if died and newest is not None and newest.epoch is not None:
        numbers = [each.number for each in tide.epochs]
        # one that committed nothing takes all that has come meanwhile
        after = [newest.epoch.number, newest.epoch.number + 1] if begun == [(True,)] else [newest.epoch.number]
        assert numbers[numbers.index(newest.epoch.number) + 1 :] == after


_DIES = """
import json, os, signal, sys
from pathlib import Path
import pytest
from tests.flows.runtime.dying import Bomb, armed
from tests.flows.runtime.graphs.world import Mill
from tests.flows.runtime.streaming.tide import Tide, all_of

given = json.loads(Path(sys.argv[1]).read_text())

class Fatal(Bomb):
    def step(self):
        if next(self.steps) == given["at"]:
            os.kill(os.getpid(), signal.SIGKILL)

class Kept(Tide):
    def _planned(self, prepared, epoch):
        super()._planned(prepared, epoch)
        file = Path(given["plan"])
        file.with_suffix(".new").write_text(json.dumps(self.plan))
        file.with_suffix(".new").replace(file)

with pytest.MonkeyPatch.context() as patch:
    tide = Kept.over(Mill(Path(given["root"]), given["url"]), given["nodes"], patch)
    stream = tide.stream()
    with armed(Fatal(0)):
        for turn in range(4):
            tide.comes(15 * turn + 1, 15 * turn + 15)
            all_of(stream)
"""


@pytest.mark.parametrize("shape", ["append", pytest.param("deduplicate", marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_retried(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: str
) -> None:
    tide = Tide.over(mill, nodes_of(shape), monkeypatch)
    given, plan = tmp_path / "given.json", tmp_path / "plan.json"
    at = random.randrange(5, 70)
    given.write_text(
        json.dumps({"at": at, "root": str(mill.root), "url": mill.url, "nodes": tide.nodes, "plan": str(plan)})
    )
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(given)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    tide.plan = json.loads(plan.read_text())
    tide.comes(1, 70)
    all_of(tide.goes_on())
    assert ids(mill, shape) == list(range(1, 71)), f"killed at step {at}"


def test_an_epoch_that_begins_again_forgets_its_own_errors_only(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch)
    stream = tide.stream()
    for turn in range(2):
        tide.comes(5 * turn + 1, 5 * turn + 5)
        all_of(stream)
    planned = tide.epochs[-1]
    forgotten: list[int] = []
    monkeypatch.setattr(mill.recorder, "forget", lambda only=None, *, since=0: forgotten.append(since))
    tide.comes(11, 15)
    all_of(tide.goes_on(bound=False))
    assert planned.number == 1
    assert [each for each in forgotten if each] == [planned.base]
    assert tide.epochs[-1] == planned, "nothing was committed under its ids"


def test_failed_rows_of_every_epoch_are_run_again_from_what_was_kept(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch)
    stream = tide.stream()
    for turn in range(3):
        tide.comes(10 * turn + 1, 10 * turn + 10)
        tide.shelf.rows[10 * turn + 4] = f"x{turn}"
        all_of(stream)
    tide.shelf.rows.clear()  # the stream has forgotten them
    plan = StoredPlan.of(tide.plan)
    assert plan is not None
    failed: dict[tuple[int, int, str], list[int]] = {}
    for node, row, *_ in mill.recorder.errors:
        failed.setdefault((0, row >> 40, node), []).append(row)
    assert len(failed) == 3
    opened = find_open_rows(plan, failed, [])
    ops = {"type": "expression", "field": "amount", "expression": "'7'"}
    tide.nodes = [Shelf().node(), transform("fix", "src", ops), target("tgt", "fix", "one")]
    continues = Continuation(
        root_run_id="run_2",
        retry_of="run_1",
        origin_run_id="run_1",
        earlier_plan=tide.plan,
        open_rows=opened,
        epoch=plan.epoch,
    )
    totals = run_in_threads(Execution(prepare(tide.job("run_2", continues)), mill.recorder))
    assert (totals.rows_in, totals.rows_out, totals.failed) == (3, 3, 0)
    assert ids(mill, "append") == list(range(1, 31))
    assert mill.rows("SELECT id FROM public.one WHERE amount = 7 ORDER BY id") == [(4,), (14,), (24,)]
    assert mill.rows("SELECT count(*) FROM _headrace.replayed") == [(3,)]
