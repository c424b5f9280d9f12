"""Connectors and schemas: what their complete contract needs."""

from __future__ import annotations

revision = "0004_resources"
down_revision = "0003_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
