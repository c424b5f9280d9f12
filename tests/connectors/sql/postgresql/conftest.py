"""A PostgreSQL as a source: one server that listens on loopback and asks for a password."""

from __future__ import annotations

from tests.connectors.sql.postgresql.shop import certificates, server, shop

__all__ = ["certificates", "server", "shop"]
