"""The base of ops."""

from __future__ import annotations

from headrace.ir.base import Doc


class OpBase(Doc):
    """A change of the columns or the rows."""

    @property
    def makes(self) -> tuple[str, ...]:
        """The columns that the op creates or changes, as far as it names them."""
        named = getattr(self, "field", None) or getattr(self, "to", None)
        return (named,) if isinstance(named, str) else ()
