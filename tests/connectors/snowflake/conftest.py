"""A double of a Snowflake account, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.snowflake.double import Double


@pytest.fixture
def account(snowflake_double: Double) -> Iterator[Double]:
    """An account without tables."""
    snowflake_double.clear()
    yield snowflake_double
    snowflake_double.close()
