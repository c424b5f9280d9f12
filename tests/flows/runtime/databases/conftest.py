from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.runtime.graphs.world import Mill
from tests.second_database import SecondDatabase, network_postgres, second, third

__all__ = ["network_postgres", "second", "third"]


@pytest.fixture
def mill(tmp_path: Path, database_url: str, second: SecondDatabase) -> Mill:
    """A files folder and a warehouse, and the second database as the connector `conn_2`, named `shop`."""
    files = tmp_path / "files"
    files.mkdir()
    made = Mill(files, database_url)
    made.named = {"shop": second.connector("conn_2")}
    return made
