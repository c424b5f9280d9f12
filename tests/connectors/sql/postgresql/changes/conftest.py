"""A server whose changes are read."""

from __future__ import annotations

from tests.connectors.sql.postgresql.changes.origin import logical_server, origin

__all__ = ["logical_server", "origin"]
