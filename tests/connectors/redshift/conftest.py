"""A double of a Redshift cluster before the embedded PostgreSQL."""

from __future__ import annotations

from tests.connectors.redshift.cluster import cluster, small_cluster, warehouse
from tests.connectors.sql.postgresql.shop import server

__all__ = ["cluster", "server", "small_cluster", "warehouse"]
