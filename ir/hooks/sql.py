"""`sql`: one administrative statement on the tenant's own tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from ir.hooks.base import HookBase
from ir.statements import MAX_STATEMENT, AdminStatement, admin_statement


def _judged(text: str) -> str:
    admin_statement(text)
    return text


class SqlHook(HookBase):
    """Runs `statement`: SELECT, ANALYZE, VACUUM, CREATE INDEX or REFRESH MATERIALIZED VIEW, nothing else. `{table}`
    stands for the table that is loaded."""

    type: Literal["sql"]
    statement: Annotated[str, StringConstraints(min_length=1, max_length=MAX_STATEMENT), AfterValidator(_judged)]
    """One statement on tables of the tenant's schemas."""

    @property
    def parsed(self) -> AdminStatement:
        """The statement, understood."""
        return admin_statement(self.statement)
