"""Ops on the values of columns: fill_null, trim, map_values, hash, mask_pii, split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from headrace.ir.base import ColumnName
from headrace.ir.ops.base import OpBase
from headrace.ir.problems import fault
from headrace.ir.secrets import Salt


class FillNull(OpBase):
    """Replaces nulls in `fields` by `value` or by the value of the column `from`; with `blank`, empty and blank texts
    too."""

    type: Literal["fill_null"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to fill."""
    value: str | bool | int | float | None = None
    """A constant."""
    source: ColumnName | None = Field(default=None, alias="from")
    """The column to take the value from."""
    blank: bool = False
    """Whether empty and blank texts are replaced too."""

    @model_validator(mode="after")
    def _one_of_both(self) -> FillNull:
        if (self.value is None) == (self.source is None):
            raise fault("value_or_from", "fill_null takes either a value or a column", "give 'value' or 'from'")
        return self


class Trim(OpBase):
    """Removes white space, or any of `characters`, from the ends of the texts of `fields`."""

    type: Literal["trim"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The text columns."""
    side: Literal["both", "start", "end"] = "both"
    """The end to trim."""
    characters: str | None = Field(default=None, min_length=1)
    """The characters to remove; by default white space."""


MappedValue = str | bool | int | float | None


class MapValues(OpBase):
    """Replaces the values of `field` that are keys of `mapping`, where keys are read as the field's type. Other values
    are kept, or become `default` if it is given; null stays null. With `to`, the result is a new column."""

    type: Literal["map_values"]
    field: ColumnName
    """The column."""
    mapping: dict[str, MappedValue] = Field(min_length=1)
    """Value → its replacement."""
    default: MappedValue = None
    """The replacement of all other values."""
    to: ColumnName | None = None
    """A new column for the result."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to or self.field,)

    @property
    def has_default(self) -> bool:
        """Whether `default` is given, which may be null."""
        return "default" in self.model_fields_set


class Hash(OpBase):
    """Replaces each of `fields` by the hash of its text, or, with `to`, adds one hash of all of them. With `salt`,
    which names a secret, the hash is an HMAC with that secret as key. xxh3_64 and md5 are for keys and buckets: they do
    not protect values, and take no salt."""

    type: Literal["hash"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to hash."""
    to: ColumnName | None = None
    """A new column for one hash of all fields."""
    algorithm: Literal["sha256", "sha512", "md5", "xxh3_64"] = "sha256"
    """The hash function."""
    salt: Salt | None = None
    """The key of the HMAC: a credential whose name begins with `salt`."""

    @model_validator(mode="after")
    def _no_fast_hash_of_a_secret(self) -> Hash:
        if self.salt is not None and self.algorithm in ("md5", "xxh3_64"):
            hint = "use sha256 or sha512, which give other hashes: load the column again, or leave the salt out"
            raise fault(
                "salt_needs_hmac",
                f"'{self.algorithm}' takes no salt: the secret could be computed from the hashes",
                hint,
            )
        return self


class MaskPii(OpBase):
    """Masks the values of `field`, in whole or in part. `salt` names the secret that tokens are made with."""

    type: Literal["mask_pii"]
    field: ColumnName
    """The column to mask."""
    strategy: Literal["redact", "partial", "email", "phone", "last4", "tokenize", "null"]
    """The kind of masking."""
    salt: Salt | None = None
    """The secret that tokens are made with: a credential whose name begins with `salt`."""

    @model_validator(mode="after")
    def _salt_is_for_tokens(self) -> MaskPii:
        if self.salt is not None and self.strategy != "tokenize":
            raise fault("salt_without_token", f"'{self.strategy}' takes no salt", "use it with 'tokenize'")
        return self


class Split(OpBase):
    """Splits the text of `field` at `separator`, where the last column of `into` takes the rest, or by the groups of
    the regular expression `pattern` (Rust syntax), one for each column. A text with too few parts makes its row an
    error (`quarantine`), gives nulls for the missing parts (`null`) or fails the run (`abort`); null and blank text
    give nulls."""

    type: Literal["split"]
    field: ColumnName
    """The column of the text."""
    separator: str | None = Field(default=None, min_length=1)
    """The separator of the parts."""
    pattern: str | None = Field(default=None, min_length=1)
    """A regular expression with a group for each column."""
    into: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What to do with a text with too few parts."""

    @property
    def makes(self) -> tuple[str, ...]:
        return self.into

    @field_validator("into")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise fault("duplicate_column", "'into' names a column twice", "give each part its own column")
        return names

    @model_validator(mode="after")
    def _one_of_both(self) -> Split:
        if (self.separator is None) == (self.pattern is None):
            hint = "for example 'separator': ',' or 'pattern': '^(\\w+)-(\\d+)$'"
            raise fault("separator_or_pattern", "split takes either a separator or a pattern", hint)
        return self
