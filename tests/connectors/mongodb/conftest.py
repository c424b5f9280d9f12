"""A double of MongoDB, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.mongodb.double import Double


@pytest.fixture
def mongo(mongodb_double: Double) -> Iterator[Double]:
    """A database without collections."""
    mongodb_double.clear()
    yield mongodb_double
    mongodb_double.close()
