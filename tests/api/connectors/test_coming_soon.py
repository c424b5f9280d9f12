"""A pipeline whose connector is not implemented can be created and run: the run logs it and completes with zero
rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.rest import FIELDS, Api

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    ("connector", "config", "fields"),
    [
        ("braze", {"resource": "users"}, None),
        ("braze", {"resource": "users"}, FIELDS),
    ],
)
def test_its_run_completes_with_zero_rows(
    stack: RunningStack, connector: str, config: dict[str, Any], fields: list[dict[str, Any]] | None
) -> None:
    source = {"connector": connector, "config": config}
    transform = {"id": "clean", "kind": "transform", "ops": [{"type": "rename", "from": "note", "to": "remark"}]}
    api = Api(stack, None, source=source, fields=fields, nodes=[transform]).create()
    progress = api.run()
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", 0, 0), progress
    assert [line for line in progress["log"] if f"'{connector}' is coming soon" in line["message"]]
    assert api.rows() == []
