"""What every op has."""

from __future__ import annotations

from ir.base import Doc


class OpBase(Doc):
    """One change of the columns or the rows."""

    @property
    def makes(self) -> tuple[str, ...]:
        """The columns the op creates or changes, as far as it names them."""
        named = getattr(self, "field", None) or getattr(self, "to", None)
        return (named,) if isinstance(named, str) else ()
