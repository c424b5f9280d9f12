"""Examples of responses by schema name."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {"HookReceipt": {"id": "rec_4711", "repeated": False}}
