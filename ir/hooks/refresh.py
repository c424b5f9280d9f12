"""`refresh`: bring a materialized view up to date."""

from __future__ import annotations

from typing import Literal

from ir.base import TableName
from ir.hooks.base import HookBase


class RefreshHook(HookBase):
    """Refreshes `view`. `concurrently` lets readers go on meanwhile, for which the view needs a unique index; without
    it, that is done where it is possible."""

    type: Literal["refresh"]
    view: TableName
    """A materialized view that reads nothing but tables of the tenant's schemas."""
    concurrently: bool | None = None
    """`true` insists on it, `false` never does it."""
