"""The console on the API of tests/api."""

from __future__ import annotations

import pytest

from tests.api.conftest import Facade
from tests.api.console.people import People, people_of


@pytest.fixture
def people(facade: Facade) -> People:
    """A browser for each role, logged in."""
    return people_of(facade)
