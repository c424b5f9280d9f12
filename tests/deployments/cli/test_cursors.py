"""`headrace cursors`."""

from __future__ import annotations

import json

import pytest

from tests.api.conftest import Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


def test_cursors_are_set_shown_and_reset(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    assert "the next run reads everything" in headrace("cursors", "orders").stderr
    headrace("cursors", "orders", "--set", 'src={"id": 5}')
    [found] = json.loads(headrace("cursors", "orders", "--json").stdout)
    assert (found["source"], found["target"], found["position"]) == ("src", "tgt", {"id": 5})
    assert '{"id": 5}' in headrace("cursors", "orders").stdout
    assert json.loads(headrace("cursors", "orders", "--reset", "--source", "src", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--set", "src"), "not SOURCE=JSON"),
        (("--set", "src={"), "not SOURCE=JSON"),
        (("--set", "src=1", "--reset"), "either --set or --reset"),
        (("--source", "src"), "need --reset"),
        (("--reset", "--source", "scr"), "no source 'scr'"),
    ],
)
def test_what_cannot_be_is_reported(
    headrace: Terminal, facade: Facade, arguments: tuple[str, ...], reported: str
) -> None:
    facade.pipeline("orders")
    assert reported in headrace.fails("cursors", "orders", *arguments)
