from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.http.api_server import ApiServer


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()
