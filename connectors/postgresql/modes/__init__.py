"""The load modes by their IR name. A new mode is one module here and one line in MODES."""

from __future__ import annotations

from connectors.postgresql.modes.append import Append
from connectors.postgresql.modes.base import LoadMode
from connectors.postgresql.spec import LoadSpec, RetryPolicy

MODES: dict[str, type[LoadMode]] = {"append": Append}

__all__ = ["MODES", "LoadMode", "LoadSpec", "RetryPolicy"]
