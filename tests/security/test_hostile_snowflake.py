"""A server that is not Snowflake's, at an address that a connector's record names."""

from __future__ import annotations

import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.reading import rows
from tests.connectors.snowflake.canned import column, sent
from tests.connectors.snowflake.conftest import account
from tests.connectors.snowflake.double import Double
from tests.security.arrow_traps import outside

__all__ = ["account"]


def test_offsets_that_lead_out_of_a_batch_are_not_believed(account: Double) -> None:
    source = sent(account, column("V", "TEXT", outside(), length=20))
    with pytest.raises(SourceError, match="offset"):
        rows(source)
