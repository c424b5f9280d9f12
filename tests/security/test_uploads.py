"""An upload may be long; the rest of the multipart body is bounded in memory."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("name", ["Content-Disposition: ", "X"])
def test_a_header_without_end_is_refused_and_not_kept(facade: Facade, name: str) -> None:
    made = created(facade.editor, "/api/v1/connectors", {"name": "sent", "type": "csv_upload"})
    body = b"--b\r\n" + name.encode() + b"x" * 12_000_000
    tracemalloc.start()
    try:
        answer = facade.editor.post(f"/api/v1/connectors/{made['id']}/files", content=body, headers=FORM)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error_of(answer, 400)["details"][0]["code"] == "bad_upload"
    assert peak < 48_000_000  # some of it on its way, and not one more copy for each piece
