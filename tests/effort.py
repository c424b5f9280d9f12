"""How much generated tests try: a part of it in `make test`, all of it with HEADRACE_TEST_EFFORT=full."""

from __future__ import annotations

import os

_FULL = os.environ.get("HEADRACE_TEST_EFFORT") == "full"
_PART = 3


def examples(many: int) -> int:
    """So many examples with full effort, a third of them else."""
    return many if _FULL else max(many // _PART, 1)
