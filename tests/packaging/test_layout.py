"""How the tests themselves are laid out."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_what_tests_share_is_in_no_test_module() -> None:
    """Importing one would collect its imports with it, and changing it would change tests that nobody looks at."""
    found = []
    for path in TESTS.rglob("*.py"):
        for module in re.findall(r"^\s*from (tests\.[\w.]*\btest_\w+) import", path.read_text(), re.MULTILINE):
            own = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
            if module != own:  # a process that a test starts
                found.append(f"{path.relative_to(TESTS)}: {module}")
    assert found == []
