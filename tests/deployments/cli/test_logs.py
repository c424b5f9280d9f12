"""`headrace logs`: all lines, those that are wanted, and those that are yet to come."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from headrace.deployments.cli import logs
from tests.api.conftest import Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


@pytest.fixture
def run_id(headrace: Terminal, facade: Facade) -> str:
    facade.pipeline("orders")
    return headrace("run", "orders").stdout.strip()


def messages(text: str) -> list[str]:
    return [line.split(maxsplit=2)[2] for line in text.splitlines()]


def test_all_lines_are_printed_however_many(headrace: Terminal, facade: Facade, run_id: str) -> None:
    for number in range(1, 1204):
        facade.store.log(run_id, "load", f"line {number}")
    assert messages(headrace("logs", "orders").stdout) == [f"line {number}" for number in range(1, 1204)]
    assert len(json.loads(headrace("logs", "orders", run_id, "--json").stdout)) == 1203
    assert messages(headrace("logs", "orders", "--tail", "2").stdout) == ["line 1202", "line 1203"]
    assert messages(headrace("logs", "orders", "-n", "1", "--search", "LINE 12").stdout) == ["line 1203"]
    assert messages(headrace("logs", "orders", "--search", "line 120").stdout) == [
        *(f"line {number}" for number in (120, *range(1200, 1204)))
    ]


def test_only_lines_of_a_level_or_a_part_of_the_run(headrace: Terminal, facade: Facade, run_id: str) -> None:
    facade.store.log(run_id, "extract", "read")
    facade.store.log(run_id, "load", "slow", level="warning")
    facade.store.log(run_id, "run", "broken", level="error")
    assert messages(headrace("logs", "orders", "--level", "warning").stdout) == ["WARNING: slow", "ERROR: broken"]
    assert messages(headrace("logs", "orders", "--level", "error").stdout) == ["ERROR: broken"]
    assert messages(headrace("logs", "orders", "--stage", "extract").stdout) == ["read"]
    assert "extract" in headrace.fails("logs", "orders", "--stage", "nowhere")


@pytest.mark.parametrize("options", [(), ("--tail", "1"), ("--json",)], ids=" ".join)
def test_a_run_is_followed_until_it_has_ended(
    headrace: Terminal, facade: Facade, run_id: str, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    to_come = ["third", "fourth"]

    def meanwhile(_: float) -> None:
        if to_come:
            facade.store.log(run_id, "load", to_come.pop(0))
        else:
            facade.store.log(run_id, "run", "last")
            facade.store.finished(run_id, status="completed", failure_reason=None)

    monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=meanwhile))
    facade.store.log(run_id, "load", "first")
    facade.store.log(run_id, "load", "second")
    printed = headrace("logs", "orders", "--follow", *options).stdout
    found = (
        [json.loads(line)["message"] for line in printed.splitlines()] if options == ("--json",) else messages(printed)
    )
    assert found == [*(["first"] if options != ("--tail", "1") else []), "second", "third", "fourth", "last"]


def test_without_follow_it_ends_though_the_run_goes_on(headrace: Terminal, facade: Facade, run_id: str) -> None:
    facade.store.log(run_id, "load", "first")
    assert messages(headrace("logs", "orders").stdout) == ["first"]
