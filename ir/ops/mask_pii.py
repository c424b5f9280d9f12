"""`mask_pii`: hide personal data."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ir.base import ColumnName
from ir.ops.base import OpBase
from ir.problems import fault
from ir.secrets import SecretReference


class MaskPii(OpBase):
    """Hides the values of `field`, wholly or in part. `salt` names a secret that goes into tokens."""

    type: Literal["mask_pii"]
    field: ColumnName
    """The column to hide."""
    strategy: Literal["redact", "partial", "email", "phone", "last4", "tokenize", "null"]
    """How, and how much of it."""
    salt: SecretReference | None = None
    """The secret that goes into tokens."""

    @model_validator(mode="after")
    def _salt_is_for_tokens(self) -> MaskPii:
        if self.salt is not None and self.strategy != "tokenize":
            raise fault("salt_without_token", f"'{self.strategy}' takes no salt", "use it with 'tokenize'")
        return self
