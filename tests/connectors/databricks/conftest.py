"""A double of a SQL warehouse, empty for each test."""

from __future__ import annotations

import pytest

from tests.connectors.databricks.double import Double


@pytest.fixture
def databricks(databricks_double: Double) -> Double:
    """A warehouse without tables."""
    databricks_double.clear()
    return databricks_double
