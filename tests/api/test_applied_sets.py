"""What files own: kept by name, per tenant, replaced as a whole."""

from __future__ import annotations

import pytest

from api.app import BASE_PATH
from tests.api.conftest import Facade, error_of

pytestmark = pytest.mark.postgres

SETS = f"{BASE_PATH}/applied-sets"
OBJECTS = [{"kind": "pipeline", "id": "pipe_1"}, {"kind": "schema", "id": "schema_1"}]


def test_a_set_is_empty_until_written_and_then_what_was_written_last(facade: Facade) -> None:
    orders = {"name": "orders"}
    assert facade.viewer.get(SETS, params=orders).json() == orders | {"objects": [], "updatedAt": None}
    for objects in (OBJECTS, OBJECTS[:1]):
        put = facade.editor.put(SETS, params=orders, json={"objects": objects})
        assert put.status_code == 200
        assert facade.viewer.get(SETS, params=orders).json() == put.json()
        assert put.json()["objects"] == objects
    assert facade.viewer.get(SETS, params={"name": "bills"}).json()["objects"] == []
    assert facade.foreign.get(SETS, params=orders).json()["objects"] == []


def test_viewers_do_not_write_and_nonsense_is_400(facade: Facade) -> None:
    error_of(facade.viewer.put(SETS, params={"name": "x"}, json={"objects": []}), 403)
    error_of(facade.editor.put(SETS, params={"name": "a/b"}, json={"objects": []}), 400)
    error_of(facade.editor.put(SETS, params={"name": "x"}, json={"objects": [{"kind": "run", "id": "r"}]}), 400)
