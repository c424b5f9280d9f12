"""A MariaDB as a source: one server that listens on loopback and asks for a password."""

from __future__ import annotations

from tests.connectors.sql.mysql.market import certificates, mariadb, market

__all__ = ["certificates", "mariadb", "market"]
