"""A double of BigQuery, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.bigquery.double import Double


@pytest.fixture
def bigquery(bigquery_double: Double) -> Iterator[Double]:
    """A dataset without tables."""
    bigquery_double.clear()
    yield bigquery_double
    bigquery_double.close()
