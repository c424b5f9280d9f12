"""The page on security names the test of every promise, and every test of an attack belongs to a promise."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
SECURITY = ROOT / "tests" / "security"
TABLES = re.findall(r"^\| promise .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
PROMISES = [row for table in TABLES for row in table.splitlines()]


def test_there_are_promises() -> None:
    assert len(TABLES) >= 4


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[2:40])
def test_every_promise_names_tests_that_exist(row: str) -> None:
    tests = re.findall(r"`(tests/[\w/.]+|\w+\.py)`", row.rsplit("|", 2)[1])
    assert tests
    for test in tests:
        assert (ROOT / test).exists() if test.startswith("tests/") else (SECURITY / test).exists(), test


@pytest.mark.parametrize("name", sorted(path.name for path in SECURITY.glob("test_*.py")))
def test_every_attack_belongs_to_a_promise(name: str) -> None:
    assert f"`{name}`" in PAGE
