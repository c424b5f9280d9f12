"""The facade over a database of its own, as the tests of the API have it."""

from __future__ import annotations

from tests.api.conftest import facade, facade_roles, facade_url, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]
