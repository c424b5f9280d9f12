"""The world that tests of a target's options share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Roles, in_public
from tests.flows.runtime.loads import Loads


@pytest.fixture
def loads(tmp_path: Path, migrated: Roles) -> Iterator[Loads]:
    world = Loads(tmp_path, in_public(migrated.tenant), api=migrated.api, run=migrated.run)
    try:
        yield world
    finally:
        world.close()
