"""Pipelines of several shapes that a stream is tried with, and their tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.runtime.graphs.world import Mill, Node, target, transform
from tests.flows.runtime.shelf import Shelf


@pytest.fixture
def mill(tmp_path: Path, database_url: str) -> Mill:
    files = tmp_path / "files"
    files.mkdir()
    found = Mill(files, database_url)
    found.table("one", "id bigint, amount integer")
    found.table("two", "id bigint, amount integer")
    found.table("keyed", "id bigint PRIMARY KEY, amount integer")
    found.table(
        "versions", "id bigint, amount integer, valid_from timestamptz, valid_to timestamptz, is_current boolean"
    )
    return found


def nodes_of(shape: str) -> list[Node]:
    src = Shelf().node()
    if shape == "upsert":
        return [src, target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    if shape == "scd2":
        return [src, target("tgt", "src", "versions", loadMode="scd2", upsertKey="id")]
    if shape == "deduplicate":
        return [src, transform("dd", "src", {"type": "deduplicate", "keys": ["id"]}), target("tgt", "dd", "one")]
    if shape == "fork":
        return [src, target("tgt", "src", "one"), target("other", "src", "two")]
    return [src, target("tgt", "src", "one")]


def table_of(shape: str) -> str:
    return {"upsert": "keyed", "scd2": "versions"}.get(shape, "one")


def ids(mill: Mill, shape: str) -> list[int]:
    return [key for (key,) in mill.rows(f"SELECT id FROM public.{table_of(shape)} ORDER BY id")]


SHAPES = ["append", "upsert", "scd2", "deduplicate", "fork"]
