"""A fresh world for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.runtime.graphs.world import Mill


@pytest.fixture
def mill(tmp_path: Path, database_url: str) -> Mill:
    files = tmp_path / "files"
    files.mkdir()
    return Mill(files, database_url)
