"""One result of `headrace doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "failed"]

TIMEOUT_S = 5.0
"""The timeout of each connection."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; `remedy` says how to correct it."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `--json`."""
        return asdict(self)
