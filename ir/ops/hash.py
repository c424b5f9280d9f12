"""`hash`: replace values by their hash."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase
from ir.secrets import SecretReference


class Hash(OpBase):
    """Replaces each of `fields` by the hash of its text, or, with `to`, adds one hash of all of them together. `salt`
    names a secret that is put before the text. xxh3_64 and md5 are for keys and buckets: they hide nothing."""

    type: Literal["hash"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to hash."""
    to: ColumnName | None = None
    """A new column for one hash of all."""
    algorithm: Literal["sha256", "sha512", "md5", "xxh3_64"] = "sha256"
    """How."""
    salt: SecretReference | None = None
    """The secret put before the text."""
