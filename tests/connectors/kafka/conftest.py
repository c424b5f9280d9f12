"""A broker for all tests of the session, and separate topics for each test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.connectors.kafka.brokers import Topics, mock_cluster, tansu


@pytest.fixture(scope="session")
def broker() -> Iterator[Topics]:
    with tansu() as port:
        yield Topics(f"127.0.0.1:{port}", single=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    monkeypatch.setattr("headrace.connectors.kafka.cluster.IDS_SECONDS", 0.2)  # it has none
    with mock_cluster() as servers:
        yield Topics(servers, single=False)


@pytest.fixture
def topic() -> str:
    return f"t-{uuid4().hex[:8]}"
