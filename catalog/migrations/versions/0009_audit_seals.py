"""Seals of audit chains, with a key that is not in the database.

Existing entries are not changed: the first seal of a chain covers all of it, after its links have been verified.
"""

from __future__ import annotations

from alembic import op

revision = "0009_audit_seals"
down_revision = "0008_dataset_rules"
branch_labels = None
depends_on = None

_COLUMNS = {"sealed_sequence": "bigint", "sealed_hash": "text", "seal_key": "text", "seal": "text"}


def upgrade() -> None:
    """Adds the columns, empty."""
    columns = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in _COLUMNS.items())
    op.execute(f"ALTER TABLE headrace.audit_heads {columns}")


def downgrade() -> None:
    """Drops them."""
    op.execute(f"ALTER TABLE headrace.audit_heads {', '.join(f'DROP COLUMN {name}' for name in _COLUMNS)}")
