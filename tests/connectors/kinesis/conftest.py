"""Services for all tests of the session, and streams of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.kinesis.streams import Front, Streams, kinesalite, kinesis_local, moto_front


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    made = moto_front()
    yield made
    made.close()


@pytest.fixture
def moto(front: Front) -> Streams:
    front.faults.clear()
    front.asked.clear()
    return Streams(front.port)


@pytest.fixture(scope="session")
def lite() -> Iterator[Streams]:
    with kinesalite() as streams:
        yield streams


@pytest.fixture(scope="session")
def local() -> Iterator[Streams]:
    with kinesis_local() as streams:
        yield streams
