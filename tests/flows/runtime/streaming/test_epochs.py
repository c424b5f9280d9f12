"""Epochs of one stream: each row once, ids of their own, and failed rows that can be run again later."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.source import Restart
from headrace.flows.runtime.errors import PlanFailed
from tests.flows.runtime.graphs.world import Mill, target
from tests.flows.runtime.shelf import Shelf
from tests.flows.runtime.streaming.shapes import SHAPES, ids, mill, nodes_of
from tests.flows.runtime.streaming.tide import Tide, all_of

__all__ = ["mill"]
pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("restart", [Restart.BOUNDARY, pytest.param(Restart.EXACT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_epoch_loads_what_is_new_once(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, shape: str, restart: Restart
) -> None:
    tide = Tide.over(mill, nodes_of(shape), monkeypatch, restart=restart)
    stream = tide.stream()
    read = []
    for turn in range(4):
        tide.comes(20 * turn + 1, 20 * turn + 20)
        read += [step.totals.rows_in for step in all_of(stream)]
    assert read == [20, 20, 20, 20]
    assert stream.step() is None
    assert ids(mill, shape) == list(range(1, 81))
    if shape == "fork":
        assert mill.rows("SELECT count(*), count(DISTINCT id) FROM public.two") == [(80, 80)]
    assert [each.number for each in tide.epochs] == [0, 1, 2, 3]
    # the partitions of no two epochs have the same place in the run
    assert len({each.base for each in tide.epochs}) == 4
    stream.close()
    assert tide.shelf.closed == 1, "its sources stay open from one epoch to the next"


def test_finished_epochs_leave_the_ledger(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.runtime.streaming.stream._FORGOTTEN_AT_ONCE", 2)
    tide = Tide.over(mill, nodes_of("upsert"), monkeypatch)
    stream = tide.stream()
    for turn in range(6):
        tide.comes(turn + 1, turn + 1)
        all_of(stream)
    for table, column in (("ledger", "root_run_id"), ("staging_ledger", "root_run_id"), ("begun", "load_key")):
        keys = {key for (key,) in mill.rows(f"SELECT {column} FROM _headrace.{table}")}
        assert keys <= {"run_1.3", "run_1.4", "run_1.5"}, table
    assert mill.rows("SELECT count(*) FROM _headrace.loads") == [(1,)]


def test_an_epoch_reads_no_more_than_it_may_and_says_that_more_is_there(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch, config={"maxRows": 14})
    stream = tide.stream()
    tide.comes(1, 40)
    done = all_of(stream)
    assert [step.totals.rows_in for step in done] == [14, 14, 12]
    assert [step.complete for step in done] == [False, False, True]
    assert ids(mill, "append") == list(range(1, 41))


def test_the_lag_is_from_the_look_whose_end_is_committed(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch, config={"maxRows": 14})
    stream = tide.stream()
    tide.comes(1, 28)
    stream.step()
    assert stream.lags["src"].up_to is None, "not everything that was there is committed"
    assert stream.lags["src"].rows > 0
    stream.step()
    stream.step()
    first = stream.lags["src"]
    assert (first.rows, first.up_to is not None) == (0, True)
    stream.step()
    second = stream.lags["src"]
    assert first.up_to is not None
    assert second.up_to is not None
    assert second.up_to > first.up_to


def test_errors_of_different_epochs_are_different_rows(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch)
    stream = tide.stream()
    for turn in range(3):
        tide.comes(10 * turn + 1, 10 * turn + 10)
        tide.shelf.rows[10 * turn + 4] = "x"
        all_of(stream)
    assert len(mill.recorder.errors) == 3
    assert len({row for _, row, *_ in mill.recorder.errors}) == 3
    assert len(ids(mill, "append")) == 27
    kept = mill.rows("SELECT partition, first_row FROM _headrace.originals ORDER BY 1")
    assert len({partition for partition, _ in kept}) == 3


def test_the_log_of_many_epochs_is_short(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch)
    stream = tide.stream()
    lines = []
    for turn in range(3):
        tide.comes(10 * turn + 1, 10 * turn + 10)
        all_of(stream)
        lines.append(len(mill.recorder.lines))
    assert lines[0] == lines[1] == lines[2]


def test_what_cannot_be_streamed_is_said_before_anything_is_loaded(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, [Shelf().node(), target("tgt", "src", "one", loadMode="truncate")], monkeypatch)
    tide.comes(1, 3)
    with pytest.raises(PlanFailed, match="replaces its table"):
        tide.stream().step()
    assert tide.plan is None


def test_a_source_without_a_cursor_is_not_streamed(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    tide = Tide.over(mill, nodes_of("append"), monkeypatch)
    tide.shelf.cursor = False
    tide.comes(1, 3)
    with pytest.raises(PlanFailed, match="neither a cursor nor offsets"):
        tide.stream().step()


def test_dataset_rules_are_evaluated_for_each_epoch(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    level: dict[str, Any] = {"rowCount": {"min": 3, "onFail": "warn"}}
    check = {"id": "chk", "kind": "validate", "input": "src", "datasetLevel": level}
    tide = Tide.over(mill, [Shelf().node(), check, target("tgt", "chk", "one")], monkeypatch)
    stream = tide.stream()
    tide.comes(1, 5)
    all_of(stream)
    assert [each.holds for each in mill.recorder.rules] == [True]
    tide.comes(6, 7)
    all_of(stream)
    assert [each.holds for each in mill.recorder.rules] == [False]
