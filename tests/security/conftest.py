"""The facade over a separate database, as in the tests of the API."""

from __future__ import annotations

from tests.api.conftest import facade, facade_roles, facade_url, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]
