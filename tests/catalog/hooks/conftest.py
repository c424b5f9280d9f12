"""Webhooks in a catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.catalog.hooks.spools import Spools
from tests.databases import Roles


@pytest.fixture
def spools(migrated: Roles) -> Iterator[Spools]:
    found = Spools(migrated)
    yield found
    found.close()
