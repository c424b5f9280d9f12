"""The fields and the table name of a schema. This module imports no database library.

The tenant `default` gets `ds_<name>`, any other `ds_<name>_<8 hex digits of its id's hash>`. The name depends only on
the tenant and the schema, so two tenants with the same schema name do not collide or learn of each other. A name that
is already taken by another table is a conflict."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

_DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """The definition of a column. `length` is for varchar, `precision` and `scale` are for decimal."""

    name: str
    display_name: str
    data_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    is_predictor: bool = False
    default_value: str | None = None
    description: str = ""


def sanitised(name: str) -> str:
    """Returns a schema name in lower-case letters, digits and underscores; empty if nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def table_name(tenant_id: str, name: str) -> str:
    """Returns the name of the table of a tenant's schema."""
    if tenant_id == _DEFAULT_TENANT:
        return f"ds_{name}"
    return f"ds_{name}_{hashlib.sha256(tenant_id.encode()).hexdigest()[:8]}"
