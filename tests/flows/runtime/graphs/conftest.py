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


@pytest.fixture(params=["one bucket", "several buckets", "pieces"])
def spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How few rows are spread: as usual, over a bucket per partition, and as if no bucket fitted into the memory."""
    if request.param != "one bucket":
        monkeypatch.setattr("headrace.flows.compile.shuffle._ONE_BUCKET_ROWS", 0)
    if request.param == "pieces":
        monkeypatch.setattr("headrace.flows.runtime.shuffle.pieces.PIECE_BYTES", 40)
